//! What ports cost: a reservation beside a thousand others, and the files of a thousand sites.

use std::path::Path;
use std::time::Instant;

use proximity::domain::access::Who;
use proximity::domain::caddy::site;
use proximity::domain::ports::{Of, Pair, PortWish, Sockets};
use proximity::domain::service::{Service, Spec};
use proximity::domain::stamp::Stamp;
use proximity::ops::ports::keep;

use super::figures::{Table, Times, check, ms};
use super::scratch;

const ALL: u16 = 1000;

/// S22: the whole range reserved, one after the other; the last one given back and reserved anew; and all files.
pub fn ports(table: &mut Table, home: &Path) {
    let (store, vault, audit) = scratch::store(&home.join("ports"));
    let (who, sockets) = (Who::owner("marta"), Sockets::default());
    let wish = |wish: PortWish| keep(&audit, &store, &vault, &who, Stamp(1), &wish, &sockets).unwrap().pair;
    let reserve = |n: u16| wish(PortWish::Reserve(format!("app-{n}").parse().unwrap()));
    let begun = Instant::now();
    let pairs: Vec<Pair> = (0..ALL).map(reserve).collect();
    table.row("S22", "ports: 1,000 reserved one after the other", ms(begun.elapsed().as_secs_f64() * 1e3), "", vec![]);
    let mut last = Times::default();
    for _ in 0..50 {
        wish(PortWish::Release(Of::Port(pairs[999].public), false));
        let begun = Instant::now();
        reserve(ALL - 1);
        last.add(begun.elapsed());
    }
    table.row("S22", "ports: one more where 999 are held, p50", ms(last.p50()), "", vec![]);

    let one = |(n, pair): (usize, &Pair)| {
        let to = format!("app-{n}.prox.local:8080").parse().unwrap();
        Service { name: format!("app-{n}").parse().unwrap(), pair: *pair, spec: Spec::to(to) }
    };
    let services: Vec<Service> = pairs.iter().enumerate().map(one).collect();
    let trusted = ["192.168.1.0/24".parse().unwrap(), "fd00::/8".parse().unwrap()];
    let mut times = Times::default();
    for _ in 0..20 {
        let begun = Instant::now();
        let bytes: usize = services.iter().map(|s| site(s, &trusted).len()).sum();
        times.add(begun.elapsed());
        assert!(bytes > 100_000);
    }
    table.row("S22", "ports: files of 1,000 sites, p50", ms(times.p50()), "", vec![check("<= 50 ms", times.p50() <= 50.0)]);
}
