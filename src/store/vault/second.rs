//! The second factor: a time-based code, or one of ten codes on paper for a lost telephone.
//!
//! It adds no encryption: its secret lies in what the passphrase opens. It keeps somebody who saw or guessed the
//! passphrase out of this program, and nobody out of a stolen file.

use rusqlite::{OptionalExtension, Transaction, params};

use super::{Vault, VaultError};
use crate::store::crypto::{self, Key};
use crate::store::totp::{self, STEP_S};
use crate::store::{Secret, Store, operators::Account};

/// Codes on paper.
pub const RECOVERY_CODES: usize = 10;

/// Bytes of a name in a picture.
const LABEL: usize = 13;

/// What a new second factor is shown as; once.
pub struct SecondFactor {
    /// For a telephone's camera: `otpauth://totp/…`.
    pub uri: Secret,
    /// The same to type in, base 32 in groups of four.
    pub text: Secret,
}

impl Vault {
    /// Makes a secret for an operator. Nothing is asked for until [`confirm_second`](Self::confirm_second) saw a right code.
    pub fn begin_second(&self, store: &Store, name: &str) -> Result<SecondFactor, VaultError> {
        let secret: [u8; totp::SECRET] = crypto::random()?;
        let text = totp::base32(&secret);
        let secret = Secret::new(secret.to_vec());
        let paper_key = Secret::new(Key::random()?.bytes().to_vec());
        self.change(store, |tx| {
            let account = self.account(tx, name)?;
            if account.second_factor {
                return Err(VaultError::SecondFactorOn);
            }
            self.forget_second(tx, &account)?;
            self.seal_in(tx, "second_factor", "secret", &account.id, &secret)?;
            self.seal_in(tx, "second_factor", "paper key", &account.id, &paper_key)?;
            let sql = "INSERT INTO second_factor (operator_id, last_step, row_version) VALUES (?1, 0, 1)";
            tx.execute(sql, [account.id])?;
            self.sign_row(tx, "second_factor", tx.last_insert_rowid())
        })?;
        // The label is for the eye: with the issuer said twice, or a long name, the picture would have no room on 24 lines.
        let mut label = String::new();
        for letter in name.chars().map(|c| percent(c.encode_utf8(&mut [0; 4]))) {
            if label.len() + letter.len() > LABEL {
                break;
            }
            label.push_str(&letter);
        }
        let uri = format!("otpauth://totp/Proximity:{label}?secret={text}");
        let groups: Vec<String> = text.as_bytes().chunks(4).map(|four| String::from_utf8_lossy(four).into_owned()).collect();
        Ok(SecondFactor { uri: Secret::from_text(uri), text: Secret::from_text(groups.join(" ")) })
    }

    /// Switches it on with a first right code, and gives the ten codes on paper, which are not stored readable.
    pub fn confirm_second(&self, store: &Store, name: &str, typed: &Secret, unix_s: i64, now_ms: i64) -> Result<Vec<Secret>, VaultError> {
        let mut codes = Vec::new();
        for _ in 0..RECOVERY_CODES {
            codes.push(crypto::random::<10>()?);
        }
        self.change(store, |tx| {
            let account = self.account(tx, name)?;
            self.accept_step(tx, &account, typed, unix_s)?;
            for code in &codes {
                let hash = self.paper_hash(tx, &account.id, code)?;
                tx.execute("INSERT INTO recovery_code (operator_id, hash) VALUES (?1, ?2)", params![account.id, hash])?;
                self.sign_row(tx, "recovery_code", tx.last_insert_rowid())?;
            }
            tx.execute("UPDATE operator SET second_factor = 1 WHERE rowid = ?1", [account.row])?;
            self.touched(tx, account.row, now_ms)
        })?;
        let shown = |code: &[u8; 10]| {
            let text = totp::base32(code);
            Secret::from_text(text.as_bytes().chunks(4).map(String::from_utf8_lossy).collect::<Vec<_>>().join("-"))
        };
        Ok(codes.iter().map(shown).collect())
    }

    /// Switches it off and forgets secret and codes.
    pub fn end_second(&self, store: &Store, name: &str, now_ms: i64) -> Result<(), VaultError> {
        self.change(store, |tx| {
            let account = self.account(tx, name)?;
            self.forget_second(tx, &account)?;
            tx.execute("UPDATE operator SET second_factor = 0 WHERE rowid = ?1", [account.row])?;
            self.touched(tx, account.row, now_ms)
        })
    }

    /// How many codes on paper are left.
    pub fn codes_left(&self, store: &Store, name: &str) -> Result<usize, VaultError> {
        let account = self.account(&store.conn, name)?;
        let sql = "SELECT count(*) FROM recovery_code WHERE operator_id = ?1 AND burned_ms IS NULL";
        let left: i64 = store.conn.query_row(sql, [account.id], |row| row.get(0))?;
        Ok(usize::try_from(left).unwrap_or(0))
    }

    /// Accepts a code once. Its step, or that it is burned, is on disk when this returns `Ok`; of any number of programs
    /// that come with the same code one gets it.
    ///
    /// `WrongCode`, or `UsedCode` for one that was right before.
    pub(in crate::store) fn accept_code(&self, store: &Store, name: &str, typed: &Secret, unix_s: i64) -> Result<(), VaultError> {
        self.change(store, |tx| {
            let account = self.account(tx, name)?;
            let text = typed.expose_text().ok_or(VaultError::WrongCode)?;
            // Six digits are a telephone's; sixteen letters come from the paper.
            if text.chars().filter(|c| c.is_ascii_alphanumeric()).count() > 6 {
                self.burn(tx, &account, text, unix_s)
            } else {
                self.accept_step(tx, &account, typed, unix_s)
            }
        })
    }

    fn accept_step(&self, tx: &Transaction<'_>, account: &Account, typed: &Secret, unix_s: i64) -> Result<(), VaultError> {
        let sql = "SELECT id, last_step FROM second_factor WHERE operator_id = ?1";
        let row: Option<(i64, i64)> = tx.query_row(sql, [account.id], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let what = || VaultError::Tampered { what: "the second factor".to_owned() };
        let (row, last) = row.ok_or_else(what)?;
        self.check_row(tx, "second_factor", row).map_err(|_| what())?;
        let secret = self.open_in(tx, "second_factor", "secret", &account.id)?;
        let typed: String = typed.expose_text().unwrap_or_default().chars().filter(|c| !c.is_whitespace()).collect();
        let now = unix_s.div_euclid(STEP_S);
        let fits = |step: i64| {
            let code = totp::code(secret.expose(), step).map(|code| format!("{code:06}"));
            code.is_some_and(|code| crypto::equal(code.as_bytes(), typed.as_bytes()))
        };
        let steps: Vec<i64> = (now - 1..=now + 1).filter(|step| fits(*step)).collect();
        let Some(step) = steps.iter().find(|step| **step > last) else {
            return Err(if steps.is_empty() { VaultError::WrongCode } else { VaultError::UsedCode });
        };
        tx.execute("UPDATE second_factor SET last_step = ?2, row_version = row_version + 1 WHERE id = ?1", params![row, step])?;
        self.sign_row(tx, "second_factor", row)
    }

    fn burn(&self, tx: &Transaction<'_>, account: &Account, text: &str, unix_s: i64) -> Result<(), VaultError> {
        let letters: String = text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect();
        let code = from_base32(&letters).ok_or(VaultError::WrongCode)?;
        let hash = self.paper_hash(tx, &account.id, &code)?;
        let sql = "SELECT id, burned_ms FROM recovery_code WHERE operator_id = ?1 AND hash = ?2";
        let found: Option<(i64, Option<i64>)> =
            tx.query_row(sql, params![account.id, hash], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let (row, burned) = found.ok_or(VaultError::WrongCode)?;
        self.check_row(tx, "recovery_code", row)?;
        if burned.is_some() {
            return Err(VaultError::UsedCode);
        }
        tx.execute("UPDATE recovery_code SET burned_ms = ?2 WHERE id = ?1", params![row, unix_s.saturating_mul(1000)])?;
        self.sign_row(tx, "recovery_code", row)
    }

    pub(super) fn forget_second(&self, tx: &Transaction<'_>, account: &Account) -> Result<(), VaultError> {
        self.remove_in(tx, "second_factor", "secret", &account.id)?;
        self.remove_in(tx, "second_factor", "paper key", &account.id)?;
        tx.execute("DELETE FROM second_factor WHERE operator_id = ?1", [account.id])?;
        tx.execute("DELETE FROM recovery_code WHERE operator_id = ?1", [account.id])?;
        Ok(())
    }

    /// 80 random bits need no slow hash, but a key: the file alone tells nobody whether a guess is right.
    /// The key is a record of its own, so that another vault key leaves the codes good.
    fn paper_hash(&self, tx: &Transaction<'_>, operator: &[u8; 16], code: &[u8; 10]) -> Result<[u8; 32], VaultError> {
        let sealed = self.open_in(tx, "second_factor", "paper key", operator)?;
        let key = Key::from_secret(&sealed).ok_or_else(|| VaultError::Corrupt { what: "the key of the paper codes".to_owned() })?;
        Ok(*crypto::derive(&key, &self.vault_id, "paper code", &[operator, code])?.bytes())
    }
}

/// The ten bytes behind sixteen letters; 0, 1 and 8 are read as the letters they look like.
fn from_base32(letters: &str) -> Option<[u8; 10]> {
    let mut word = 0u128;
    if letters.len() != 16 {
        return None;
    }
    for letter in letters.bytes() {
        let five = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'2'..=b'7' => letter - b'2' + 26,
            b'0' => b'O' - b'A',
            b'1' => b'I' - b'A',
            b'8' => b'B' - b'A',
            _ => return None,
        };
        word = word << 5 | u128::from(five);
    }
    word.to_be_bytes()[6..].try_into().ok()
}

/// A name in a URI (RFC 3986).
fn percent(name: &str) -> String {
    let keep = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    name.bytes().map(|b| if keep(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
