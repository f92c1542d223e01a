//! Slots under attack: every byte of a header, and headers that ask for absurd cost with a sum made to fit.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;

const ID: [u8; 16] = [9; 16];
const OWNER: Owner<'static> = Owner { vault_id: &ID, epoch: 1 };

fn recovery() -> (Slot, Key, Key) {
    let (vault_key, words_key) = (Key::from_bytes([1; 32]), Key::from_bytes([2; 32]));
    (for_key(OWNER, &vault_key, Kind::Recovery, &words_key).unwrap(), vault_key, words_key)
}

/// Makes the sum fit again, as an attacker would.
fn forge(slot: &mut Slot) {
    slot.sum = slot.expected_sum().unwrap().to_vec();
}

#[test]
fn a_header_reads_back_and_no_prefix_or_extension_does() {
    let header = Header {
        kind: Kind::Operator,
        vault_id: ID,
        slot_id: [3; 16],
        cost: Cost::DEFAULT,
        salt: [4; 16],
        host_key_id: [5; 16],
        public: [6; 32],
        operator: "märta".to_owned(),
    };
    let bytes = header.bytes();
    assert!(Header::parse(&bytes).unwrap() == header);
    assert!((0..bytes.len()).all(|end| Header::parse(&bytes[..end]).is_none()));
    assert!(Header::parse(&[&bytes[..], &[0]].concat()).is_none());
}

#[test]
fn each_changed_byte_of_a_slot_is_told_without_a_key() {
    let (slot, ..) = recovery();
    let lengths = [slot.header.len(), 32, NONCE, 48, SEALED_KEY, 32, 32];
    for (column, length) in lengths.into_iter().enumerate() {
        for at in 0..length {
            let (mut slot, ..) = recovery();
            let bytes = match column {
                0 => &mut slot.header,
                1 => &mut slot.check_value,
                2 => &mut slot.nonce,
                3 => &mut slot.wrapped,
                4 => &mut slot.sealed_key,
                5 => &mut slot.mac,
                _ => &mut slot.sum,
            };
            bytes[at] ^= 1;
            assert!(matches!(slot.check_undamaged(), Err(VaultError::Tampered { .. })));
        }
    }
}

#[test]
fn a_changed_byte_with_a_sum_made_to_fit_never_opens() {
    let (slot, _, words_key) = recovery();
    let typed = Secret::from_text(crate::store::RecoveryWords::of(&words_key).unwrap().expose().join(" "));
    assert!(slot.open_with_words(OWNER, &typed).is_ok());
    let (wrapped, nonce, mac, sealed) = (slot.wrapped.len(), slot.nonce.len(), slot.mac.len(), slot.sealed_key.len());
    for at in 0..wrapped + nonce + mac + sealed + slot.header.len() {
        let (mut slot, ..) = recovery();
        match at {
            _ if at < wrapped => slot.wrapped[at] ^= 1,
            _ if at < wrapped + nonce => slot.nonce[at - wrapped] ^= 1,
            _ if at < wrapped + nonce + mac => slot.mac[at - wrapped - nonce] ^= 1,
            _ if at < wrapped + nonce + mac + sealed => slot.sealed_key[at - wrapped - nonce - mac] ^= 1,
            _ => slot.header[at - wrapped - nonce - mac - sealed] ^= 1,
        }
        forge(&mut slot);
        let outcome = slot.open_with_words(OWNER, &typed);
        let header = at >= wrapped + nonce + mac + sealed;
        match outcome {
            Err(VaultError::Tampered { .. }) => {}
            // A changed header is another derivation: it is unreadable, disagrees with its row, or the words do not fit it.
            Err(VaultError::Corrupt { .. } | VaultError::WrongWords { .. }) if header => {}
            _ => panic!("byte {at}: wrong outcome"),
        }
    }
    let (mut slot, ..) = recovery();
    slot.row_version = 2;
    forge(&mut slot);
    assert!(matches!(slot.open_with_words(OWNER, &typed), Err(VaultError::Tampered { .. })));
    let (mut slot, ..) = recovery();
    slot.check_value[0] ^= 1;
    forge(&mut slot);
    assert!(matches!(slot.open_with_words(OWNER, &typed), Err(VaultError::WrongWords { .. })));
}

#[test]
fn a_slot_of_another_epoch_or_vault_does_not_open() {
    let (slot, _, words_key) = recovery();
    let later = Owner { epoch: 2, ..OWNER };
    let wrong = || VaultError::WrongPassphrase;
    assert!(matches!(slot.open(later, &words_key, wrong()), Err(VaultError::Tampered { .. })));
    let other = Owner { vault_id: &[8; 16], ..OWNER };
    assert!(matches!(slot.open(other, &words_key, wrong()), Err(VaultError::WrongPassphrase)));
    assert!(matches!(slot.read_header(other, Kind::Recovery), Err(VaultError::Tampered { .. })));
}

#[test]
fn absurd_costs_are_refused_at_once() {
    let passphrase = Secret::from_text("x".to_owned());
    let started = std::time::Instant::now();
    for number in 0..500u32 {
        let wild = number.wrapping_mul(0x9E37_79B9) | 0x0020_0000;
        let header = Header {
            kind: Kind::Operator,
            vault_id: ID,
            slot_id: [3; 16],
            cost: Cost { memory_kib: wild, passes: 3 + number, lanes: 1 + number % 3 },
            salt: [0; 16],
            host_key_id: [0; 16],
            public: [0; 32],
            operator: "a".to_owned(),
        };
        let (mut slot, ..) = recovery();
        slot.id = vec![3; 16];
        slot.kind = "operator".to_owned();
        slot.operator = Some("a".to_owned());
        slot.header = header.bytes();
        forge(&mut slot);
        assert!(slot.check_undamaged().is_ok(), "the forged sum fits");
        let nowhere = Path::new("/nonexistent/host.key");
        let outcome = slot.open_with_passphrase(OWNER, &passphrase, nowhere, u64::MAX);
        assert!(matches!(outcome, Err(VaultError::CostTooHigh { .. })), "{wild}");
    }
    // Any one of them would take longer than this if it were tried.
    assert!(started.elapsed().as_secs() < 120);
}
