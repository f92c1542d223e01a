//! A list with a selection: moving in it, what part of it is seen, and tables with columns that fold.

use super::action::Action;
use super::canvas::Canvas;
use super::theme::Tone;

/// Where somebody is in a list.
#[derive(Debug, Clone, Copy, Default)]
pub struct List {
    /// The selected entry, from 0.
    pub at: usize,
    top: usize,
}

impl List {
    /// The first entry that is seen where `rows` of `len` entries are.
    pub fn top(&self, len: usize, rows: usize) -> usize {
        let at = self.at.min(len.saturating_sub(1));
        self.top.min(at).max((at + 1).saturating_sub(rows.max(1))).min(len.saturating_sub(rows))
    }

    /// Moves; `false` for an action that moves nothing.
    pub fn act(&mut self, action: Action, len: usize, rows: usize) -> bool {
        let last = len.saturating_sub(1);
        let page = rows.max(1);
        self.at = match action {
            Action::Down => self.at.saturating_add(1),
            Action::Up => self.at.min(last).saturating_sub(1),
            Action::PageDown => self.at.saturating_add(page),
            Action::PageUp => self.at.min(last).saturating_sub(page),
            Action::HalfDown => self.at.saturating_add(page.div_ceil(2)),
            Action::HalfUp => self.at.min(last).saturating_sub(page.div_ceil(2)),
            Action::Top => 0,
            Action::Bottom => last,
            _ => return false,
        }
        .min(last);
        self.top = self.top(len, rows);
        true
    }

    /// Goes to an entry.
    pub fn go(&mut self, at: usize, len: usize, rows: usize) {
        self.at = at;
        self.top = self.top(len, rows);
    }
}

/// A column of a table.
pub struct Column {
    /// Its title.
    pub title: &'static str,
    /// Columns of the screen it needs.
    pub least: u16,
    /// Columns it is glad to have; with 0 it is not shown.
    pub most: u16,
    /// Columns with a small number go last when there is no room.
    pub keep: u8,
    /// Numbers stand to the right.
    pub right: bool,
}

/// A column.
pub const fn column(title: &'static str, least: u16, most: u16, keep: u8, right: bool) -> Column {
    Column { title, least, most, keep, right }
}

/// Where each column stands: `(x, width)`; `None` for one that has no room.
pub fn fit(columns: &[Column], from: u16, width: u16) -> Vec<Option<(u16, u16)>> {
    let mut shown: Vec<bool> = columns.iter().map(|c| c.most > 0).collect();
    let room = width.saturating_sub(from);
    let need = |shown: &[bool]| columns.iter().zip(shown).filter(|(_, s)| **s).map(|(c, _)| c.least + 2).sum::<u16>().saturating_sub(2);
    while need(&shown) > room {
        let worst = (0..columns.len()).filter(|i| shown[*i]).max_by_key(|i| columns[*i].keep);
        match worst {
            Some(i) if columns[i].keep > 0 => shown[i] = false,
            _ => break,
        }
    }
    let mut spare = room.saturating_sub(need(&shown));
    let mut x = from;
    columns
        .iter()
        .zip(&shown)
        .map(|(c, shown)| {
            if !shown || x >= width {
                return None;
            }
            let more = spare.min(c.most - c.least);
            spare -= more;
            let place = (x, (c.least + more).min(width - x));
            x += c.least + more + 2;
            Some(place)
        })
        .collect()
}

/// The titles of the columns.
pub fn heads(on: &mut Canvas<'_>, y: u16, columns: &[Column], places: &[Option<(u16, u16)>]) {
    for (column, place) in columns.iter().zip(places) {
        if let Some(place) = place {
            cell(on, y, *place, column.title, Tone::Quiet, column.right);
        }
    }
}

/// One cell of a table.
pub fn cell(on: &mut Canvas<'_>, y: u16, (x, width): (u16, u16), text: &str, tone: Tone, right: bool) {
    if right {
        on.put_right(x + width, y, width, text, tone);
    } else {
        on.put(x, y, width, text, tone);
    }
}

/// The sign in front of an entry.
pub fn marker(on: &mut Canvas<'_>, y: u16, chosen: bool) {
    if chosen {
        on.put(0, y, 1, "▸", Tone::Strong);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moving_stays_inside() {
        let mut l = List::default();
        for (action, at) in
            [(Action::Up, 0), (Action::PageDown, 4), (Action::Bottom, 9), (Action::Down, 9), (Action::HalfUp, 7), (Action::Top, 0)]
        {
            l.act(action, 10, 4);
            assert_eq!(l.at, at);
        }
        l.act(Action::Bottom, 0, 0);
        assert_eq!((l.at, l.top(0, 0)), (0, 0));
        l.go(9, 10, 4);
        assert_eq!((l.top(10, 4), l.top(3, 4)), (6, 0));
    }

    #[test]
    fn columns_fold_by_rank() {
        let c = [column("a", 4, 4, 0, false), column("b", 4, 8, 2, false), column("c", 4, 4, 1, false)];
        assert_eq!(fit(&c, 0, 20), [Some((0, 4)), Some((6, 8)), Some((16, 4))]);
        assert_eq!(fit(&c, 0, 10), [Some((0, 4)), None, Some((6, 4))]);
        assert_eq!(fit(&c, 0, 2), [Some((0, 2)), None, None]);
    }
}
