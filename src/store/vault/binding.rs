//! What a sealed value is bound to. A body moved to another row, column, scope, epoch, version or vault does not open.

/// Why something was sealed; the same bytes never serve two purposes.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    Record = 1,
    // 2 scope key, 5 one-time password, 7 snapshot: given away, not used yet.
    VaultKey = 3,
    PrivateKey = 4,
}

/// The number of the record format itself; a migration of the tables does not change it.
const FORMAT: u16 = 1;

/// The associated data, made anew from the row that was asked for and never read back.
pub(super) struct Binding<'a> {
    pub purpose: Purpose,
    pub vault_id: &'a [u8; 16],
    pub table: &'a str,
    pub column: &'a str,
    pub row_id: &'a [u8],
    pub scope_id: &'a [u8],
    pub epoch: u32,
    pub row_version: u64,
}

impl Binding<'_> {
    /// `"CV1" | purpose u8 | vault | format u16 | table | column | row | scope | epoch u32 | row version u64`, numbers
    /// big endian, every part of variable length behind its length as u16.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut out = b"CV1".to_vec();
        out.push(self.purpose as u8);
        out.extend_from_slice(self.vault_id);
        out.extend_from_slice(&FORMAT.to_be_bytes());
        for part in [self.table.as_bytes(), self.column.as_bytes(), self.row_id, self.scope_id] {
            // Names are ours and short; identifiers have 16 bytes.
            out.extend_from_slice(&u16::try_from(part.len()).unwrap_or(u16::MAX).to_be_bytes());
            out.extend_from_slice(part);
        }
        out.extend_from_slice(&self.epoch.to_be_bytes());
        out.extend_from_slice(&self.row_version.to_be_bytes());
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_changes_the_bytes() {
        let base = || Binding {
            purpose: Purpose::Record,
            vault_id: &[1; 16],
            table: "ab",
            column: "c",
            row_id: &[2; 16],
            scope_id: &[0; 16],
            epoch: 1,
            row_version: 1,
        };
        let all = [
            base().bytes(),
            Binding { purpose: Purpose::VaultKey, ..base() }.bytes(),
            Binding { vault_id: &[3; 16], ..base() }.bytes(),
            Binding { table: "a", column: "bc", ..base() }.bytes(),
            Binding { column: "d", ..base() }.bytes(),
            Binding { row_id: &[3; 16], ..base() }.bytes(),
            Binding { scope_id: &[3; 16], ..base() }.bytes(),
            Binding { epoch: 2, ..base() }.bytes(),
            Binding { row_version: 2, ..base() }.bytes(),
        ];
        for (index, one) in all.iter().enumerate() {
            assert!(!all[..index].contains(one), "case {index} equals an earlier one");
        }
    }
}
