//! A store with an open vault that nobody else uses, for what is measured without the screen.

use std::path::Path;

use proximity::host::local::LocalHost;
use proximity::ops::audit::Recorder;
use proximity::store::{Cost, NewOperator, Secret, Store, Vault, host_key_path};

/// In this folder, opened at the lowest cost, by the operator marta; and a recorder that tells the journal nothing.
pub fn store(dir: &Path) -> (Store, Vault, Recorder) {
    let store = Store::create(dir).unwrap();
    let passphrase = Secret::from_text("orbit velvet cactus lantern mosaic".into());
    let new = NewOperator {
        host_key: &host_key_path(dir),
        operator: "marta",
        passphrase: &passphrase,
        cost: Cost::FLOOR,
        memory_available: 16 << 30,
        now_ms: 1,
    };
    let (vault, _) = Vault::create(&store, &new).unwrap();
    (store, vault, Recorder::new("bench", &LocalHost::new()).with_journal(None))
}
