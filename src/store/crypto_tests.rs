//! Published vectors, and random inputs against a second implementation (RustCrypto).
#![allow(clippy::unwrap_used)]

use chacha20poly1305::aead::{Aead, KeyInit, Payload};

use super::*;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn run<const N: usize>(from: u8) -> [u8; N] {
    std::array::from_fn(|at| from + u8::try_from(at).unwrap())
}

#[test]
fn argon2id_rfc_9106_5_3() {
    let mut out = [0; 32];
    let cost = CostParams::new(3, 32, 4).unwrap();
    let (secret, ad) = ([3; 8], [4; 12]);
    Argon2::<ID, Sequential>::derive_key(&[1; 32], &[2; 16], &cost, Some(&secret), Some(&ad), &mut out).unwrap();
    assert_eq!(out[..], hex("0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659"));
}

#[test]
fn hkdf_sha256_rfc_5869() {
    let long = |from: u8| run::<80>(from).to_vec();
    let cases = [
        (
            vec![0x0b; 22],
            run::<13>(0).to_vec(),
            run::<10>(0xf0).to_vec(),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
        ),
        (
            long(0),
            long(0x60),
            (0..80).map(|at| 0xb0 + at).collect(),
            "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09\
             da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
        ),
        (vec![0x0b; 22], vec![], vec![], "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"),
    ];
    for (ikm, salt, info, expected) in cases {
        let expected = hex(expected);
        let mut out = vec![0; expected.len()];
        Hkdf::<SHA256>::derive_key(&salt, &ikm, Some(&info), &mut out).unwrap();
        assert_eq!(out, expected);
    }
}

#[test]
fn xchacha20_poly1305_draft_a_3_1() {
    let plain = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, \
                  sunscreen would be it.";
    let key = Key::from_bytes(run(0x80));
    let nonce = run(0x40);
    let ad = hex("50515253c0c1c2c3c4c5c6c7");
    let body = seal(&key, &nonce, &ad, plain).unwrap();
    assert_eq!(body[..16], hex("bd6d179d3e83d43b9576579493c0e939"));
    assert_eq!(body[plain.len()..], hex("c0875924c1c7987947deafd8780acf49"));
    assert_eq!(open(&key, &nonce, &ad, &body).unwrap().expose(), plain);
    assert!(open(&key, &nonce, &ad[1..], &body).is_none(), "other associated data");
    assert!(open(&key, &nonce, b"", &body).is_none(), "no associated data");
    assert!(open(&key, &run(0x41), &ad, &body).is_none(), "other nonce");
    assert!(open(&Key::from_bytes(run(0x81)), &nonce, &ad, &body).is_none(), "other key");
    for short in 0..TAG {
        assert!(open(&key, &nonce, &ad, &body[..short]).is_none());
    }
}

#[test]
fn an_empty_value_is_a_value() {
    let key = Key::random().unwrap();
    let body = seal(&key, &[0; NONCE], b"x", b"").unwrap();
    assert_eq!(body.len(), TAG);
    assert!(open(&key, &[0; NONCE], b"x", &body).unwrap().expose().is_empty());
}

#[test]
fn random_inputs_agree_with_a_second_argon2() {
    for round in 0..60u32 {
        let lanes = 1 + round % 4;
        let cost = Cost { memory_kib: 8 * lanes + round % 9, passes: 1 + round % 5, lanes };
        let length = usize::try_from(round).unwrap();
        let passphrase = Secret::new(random::<64>().unwrap()[..length].to_vec());
        let (salt, pepper, ad) = (random().unwrap(), Key::random().unwrap(), random::<32>().unwrap());
        let ours = argon2id(&passphrase, &salt, cost, Some(&pepper), &ad[..length.min(32)]).unwrap();

        let mut params = argon2::ParamsBuilder::new();
        params.m_cost(cost.memory_kib).t_cost(cost.passes).p_cost(cost.lanes).output_len(32);
        params.data(argon2::AssociatedData::new(&ad[..length.min(32)]).unwrap());
        let theirs =
            argon2::Argon2::new_with_secret(pepper.bytes(), argon2::Algorithm::Argon2id, argon2::Version::V0x13, params.build().unwrap())
                .unwrap();
        let mut out = [0; 32];
        theirs.hash_password_into(passphrase.expose(), &salt, &mut out).unwrap();
        assert_eq!(ours.bytes(), &out, "round {round}");
    }
}

#[test]
fn random_inputs_agree_with_a_second_cipher() {
    for round in 0..300 {
        let key = Key::random().unwrap();
        let nonce: [u8; NONCE] = random().unwrap();
        let (ad, plain) = (random::<40>().unwrap(), random::<300>().unwrap());
        let (ad, plain) = (&ad[..round % 40], &plain[..round]);
        let ours = seal(&key, &nonce, ad, plain).unwrap();
        let theirs = chacha20poly1305::XChaCha20Poly1305::new(key.bytes().into());
        let payload = Payload { msg: plain, aad: ad };
        assert_eq!(ours, theirs.encrypt(&nonce.into(), payload).unwrap(), "round {round}");
    }
}

/// Links and seals of the audit log, at every length around the ends of blocks.
#[test]
fn random_inputs_agree_with_a_second_blake2b() {
    use orion::hazardous::hash::blake2::blake2b::Blake2b;
    use orion::hazardous::mac::blake2b as keyed;
    for length in (0..=600).chain([4095, 4096, 65_536]) {
        let bytes: Vec<u8> = random::<32>().unwrap().into_iter().cycle().take(length).collect();
        let (last, key) = (random().unwrap(), Key::random().unwrap());
        let mut hash = Blake2b::new(32).unwrap();
        hash.update(&last).unwrap();
        hash.update(&bytes).unwrap();
        let next = link(&last, &bytes).unwrap();
        assert_eq!(hash.finalize().unwrap().as_ref(), next, "{length}");
        let mut mac = keyed::Blake2b::new(&keyed::SecretKey::try_from(key.bytes()).unwrap(), 32).unwrap();
        mac.update(&next).unwrap();
        assert_eq!(mac.finalize().unwrap().unprotected_as_ref(), tag(&key, &next).unwrap(), "{length}");
    }
}

#[test]
fn labels_and_contexts_do_not_run_into_each_other() {
    let key = Key::from_bytes([1; 32]);
    let id = [2; 16];
    let with = |label: &str, context: &[&[u8]]| *derive(&key, &id, label, context).unwrap().bytes();
    assert_ne!(with("kek", &[b"ab"]), with("kek", &[b"a", b"b"]));
    assert_ne!(with("kek", &[b"ab"]), with("keka", &[b"b"]));
    assert_ne!(with("kek", &[]), with("kek", &[b""]));
    assert_ne!(sum(&[b"ab"]).unwrap(), sum(&[b"a", b"b"]).unwrap());
}

#[test]
fn a_sealed_key_opens_for_its_pair_and_binding_only() {
    let (private, public) = key_pair().unwrap();
    let (other, _) = key_pair().unwrap();
    let key = Key::random().unwrap();
    let sealed = seal_key_to(&public, b"here", &key).unwrap();
    assert_eq!(sealed.len(), SEALED_KEY);
    assert_eq!(open_sealed_key(&private, b"here", &sealed).unwrap().bytes(), key.bytes());
    assert!(open_sealed_key(&other, b"here", &sealed).is_none());
    assert!(open_sealed_key(&private, b"there", &sealed).is_none());
    for at in 0..sealed.len() {
        let mut bad = sealed.clone();
        bad[at] ^= 1;
        assert!(open_sealed_key(&private, b"here", &bad).is_none(), "byte {at}");
        assert!(open_sealed_key(&private, b"here", &sealed[..at]).is_none(), "cut at {at}");
    }
    assert_ne!(sealed, seal_key_to(&public, b"here", &key).unwrap(), "each sealing has a key of its own");
}
