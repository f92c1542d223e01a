//! The second person: which orders need the yes of another operator, and who that may be. How he proves who he is, is a
//! login like any other (`store::login`); the worker asks both questions again.

use super::access::{Refused, Who, authorize, of_plan};
use super::plan::{Approved, Risk};

/// The setting that says which.
pub const SETTING: &str = "system.second_person";

/// What [`SETTING`] may be: from which risk on.
pub const WORDS: &[&str] = &["never", "destroys", "interrupts"];

/// Whether an order needs a second person's yes and has none. `setting` is the word of [`SETTING`], or why it cannot be
/// read: then the strictest holds. `operators` counts all of the store, also those who are deactivated.
pub fn is_missing(order: &Approved, setting: Result<&str, String>, operators: usize) -> bool {
    // Whoever owns the store and is alone with himself has nobody to ask.
    if order.second().is_some() || (order.owner && operators < 2) {
        return false;
    }
    match (setting.as_deref(), &order.plan().risk) {
        (_, Risk::Low) | (Ok("never"), _) | (Ok("destroys"), Risk::Interrupts) => false,
        (_, Risk::Interrupts | Risk::Destroys { .. }) => true,
    }
}

/// Whether `second` may say the other yes to an order: somebody else than who allowed it, who may do the very same.
pub fn may(order: &Approved, second: &Who) -> Result<(), Refused> {
    let no = |why: String| Err(Refused { why, hint: "another operator who may do this must say yes".into() });
    if second.owner {
        return no(format!("{} is no operator", second.name));
    }
    if second.name == order.by {
        return no(format!("{} allowed it himself; the second yes is somebody else's", order.by));
    }
    let (permission, object) = of_plan(order.plan());
    authorize(Some(second), permission, object)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::domain::access::Role;
    use crate::domain::plan::{Plan, Purpose};

    fn who(name: &str, role: Role) -> Who {
        Who { name: name.into(), role, active: true, guests: vec!["101".parse().unwrap()], owner: false }
    }

    fn order(purpose: Purpose, guest: &str, risk: Risk) -> Approved {
        let (title, host) = ("t".into(), "local".into());
        let plan = Plan { purpose, title, guest: guest.parse().unwrap(), host, facts: vec![], notes: vec![], risk, steps: vec![] };
        Approved::new(plan, "", Some("web")).unwrap().in_name_of(&who("ada", Role::Admin))
    }

    /// The policy by hand: rows are what the setting says, columns the risks low, interrupts, destroys.
    const EXPECTED: &str = "never ---, destroys --+, interrupts -++, unreadable -++, a word of tomorrow -++";

    #[test]
    fn from_which_risk_on_is_as_it_was_decided() {
        let risks = [Risk::Low, Risk::Interrupts, Risk::Destroys { name: "web".into() }];
        let row = |word: &str| {
            let mark = |risk: &Risk| {
                let setting = if word == "unreadable" { Err("its row was changed".into()) } else { Ok(word) };
                if is_missing(&order(Purpose::Power, "101", risk.clone()), setting, 1) { '+' } else { '-' }
            };
            format!("{word} {}", risks.iter().map(mark).collect::<String>())
        };
        let all: Vec<String> = WORDS.iter().copied().chain(["unreadable", "a word of tomorrow"]).map(row).collect();
        assert_eq!(all.join(", "), EXPECTED);
    }

    #[test]
    fn the_owner_of_the_store_is_held_where_there_are_two_operators() {
        let order = order(Purpose::Power, "101", Risk::Interrupts);
        let owner = order.clone().in_name_of(&Who::owner("root"));
        let missing = |order: &Approved, operators| is_missing(order, Ok("interrupts"), operators);
        assert_eq!([missing(&owner, 0), missing(&owner, 1), missing(&owner, 2)], [false, false, true]);
        assert!(missing(&order, 1), "an operator is held by it in any case");
    }

    #[test]
    fn the_second_is_somebody_else_who_may_do_the_same() {
        let power = order(Purpose::Power, "101", Risk::Interrupts);
        let why = |order: &Approved, second: &Who| order.clone().seconded(second).map(|o| o.second().map(str::to_owned)).map_err(|r| r.why);
        assert_eq!(why(&power, &who("otto", Role::Operator)), Ok(Some("otto".into())));
        assert_eq!(why(&power, &who("sven", Role::ServiceOwner)), Ok(Some("sven".into())), "his own guest");
        assert!(why(&power, &who("ada", Role::Admin)).unwrap_err().contains("himself"));
        assert!(why(&power, &Who::owner("root")).unwrap_err().contains("no operator"));
        assert!(why(&power, &who("vera", Role::Viewer)).is_err());
        assert!(why(&power, &Who { active: false, ..who("otto", Role::Operator) }).is_err());
        assert!(why(&order(Purpose::Power, "102", Risk::Interrupts), &who("sven", Role::ServiceOwner)).is_err(), "not his guest");
        assert!(why(&order(Purpose::RestoreBeside, "101", Risk::Interrupts), &who("sven", Role::ServiceOwner)).is_err(), "not his to do");
    }

    #[test]
    fn a_yes_is_for_one_order_of_one_operator() {
        let power = order(Purpose::Power, "101", Risk::Interrupts);
        let seconded = power.clone().seconded(&who("otto", Role::Operator)).unwrap();
        assert!(!is_missing(&seconded, Ok("interrupts"), 2));
        assert_eq!(seconded.allowed_by(), "ada, seconded by otto");
        assert_eq!(power.allowed_by(), "ada");
        let others = seconded.in_name_of(&who("otto", Role::Operator));
        assert!(is_missing(&others, Ok("interrupts"), 2), "whoever takes an order over brings his own second");
    }

    #[test]
    fn orders_from_before_read_as_they_were_written() {
        let power = order(Purpose::Power, "101", Risk::Low);
        let text = serde_json::to_string(&power).unwrap();
        assert!(!text.contains("second"), "{text}");
        assert_eq!(serde_json::from_str::<Approved>(&text).unwrap(), power);
        let seconded = power.seconded(&who("otto", Role::Operator)).unwrap();
        assert_eq!(serde_json::from_str::<Approved>(&serde_json::to_string(&seconded).unwrap()).unwrap(), seconded);
    }
}
