//! All certificates that an operator lives with: what one look found, and what is wrong with each.

use std::fmt;

use super::{Age, Certificate, DAY_S, Parts, Thresholds};
use crate::domain::clean::clean;
use crate::domain::health::Level;
use crate::domain::stamp::Stamp;
use crate::domain::world::Gap;

/// What one look at all certificates found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    /// What is wrong first, then in the order of [`Whose`].
    pub items: Vec<Item>,
    /// What could not be asked or read.
    pub gaps: Vec<Gap>,
    /// When one is to be looked at.
    pub thresholds: Thresholds,
}

/// Whose a certificate is, and so who renews it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Whose {
    /// The node's, by the cluster's own authority.
    Node,
    /// The node's web interface has one of its own, by hand.
    NodeGiven,
    /// The same, which the node gets by ACME.
    NodeAcme,
    /// The cluster's authority.
    ClusterAuthority,
    /// The root of Caddy's own authority.
    Root,
    /// What that one signs with.
    Intermediate,
    /// Caddy's, by its own authority.
    Internal,
    /// Caddy's, by a public authority.
    Acme,
    /// Put into the appliance by an operator.
    Given,
    /// Shown by what is published.
    Upstream,
}

impl Whose {
    /// Its word on the screen and in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Whose::Node => "node",
            Whose::NodeGiven => "node-given",
            Whose::NodeAcme => "node-acme",
            Whose::ClusterAuthority => "cluster-authority",
            Whose::Root => "caddy-root",
            Whose::Intermediate => "caddy-intermediate",
            Whose::Internal => "internal",
            Whose::Acme => "acme",
            Whose::Given => "given",
            Whose::Upstream => "upstream",
        }
    }

    /// Who renews it and when, in words.
    pub fn renews(self) -> &'static str {
        match self {
            Whose::Node => "Proxmox, when less than 14 days are left (pveupdate, daily)",
            Whose::NodeGiven => "nobody by himself: put another one there (pvenode cert set)",
            Whose::NodeAcme => "Proxmox by ACME, when less than 30 days or a third of its time are left (pveupdate, daily)",
            Whose::ClusterAuthority => "nobody: it is the cluster's own authority, made once",
            Whose::Root => "nobody: Caddy makes it once, for ten years",
            Whose::Intermediate => "Caddy, when a fifth of its time is left",
            Whose::Internal => "Caddy, when a third of its time is left and a visitor comes",
            Whose::Acme => "Caddy by ACME, when a third of its time is left and a visitor comes",
            Whose::Given => "nobody by himself: put another one there and restart Caddy",
            Whose::Upstream => "whoever runs what is published",
        }
    }

    /// How long before its end it is renewed by itself, seconds; none where that is up to a person or to others.
    ///
    /// Proxmox: `PVE/Cluster/Setup.pm` (pveupdate renews with two weeks left), `PVE/CLI/pvenode.pm` and pveupdate (ACME: thirty days).
    /// Caddy: certmagic renews leaves with a third of their time left, `caddypki` its intermediate with a fifth, its root never.
    pub fn due_s(self, certificate: &Certificate) -> Option<i64> {
        match self {
            Whose::Node => Some(14 * DAY_S),
            Whose::NodeAcme => Some((30 * DAY_S).min(certificate.third_s())),
            Whose::Intermediate => Some(certificate.lifetime_s() / 5),
            Whose::Internal | Whose::Acme => Some(certificate.third_s()),
            Whose::NodeGiven | Whose::ClusterAuthority | Whose::Root | Whose::Given | Whose::Upstream => None,
        }
    }
}

/// Whether the private key beside a certificate is its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyState {
    /// It is.
    Matches,
    /// It is another one's: who shows this certificate cannot use it.
    Other,
    /// There is none beside it.
    Missing,
    /// It was not looked at: it is nobody's business here.
    NotLooked,
    /// It could not be told; why.
    Unknown(String),
}

impl KeyState {
    /// Its word on the screen and in JSON.
    pub fn word(&self) -> &'static str {
        match self {
            KeyState::Matches => "matches",
            KeyState::Other => "another's",
            KeyState::Missing => "missing",
            KeyState::NotLooked => "not looked at",
            KeyState::Unknown(_) => "unknown",
        }
    }
}

/// How it stands with being renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// Not yet.
    NotDue,
    /// It is time, and it is done by itself.
    Due,
    /// It should have been done by now, and was not.
    Overdue,
    /// It is time, and somebody has to do it.
    ByHand,
    /// It is made anew when a visitor comes; that it is over says that none came.
    WhenAsked,
}

impl Renewal {
    /// Its word on the screen and in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Renewal::NotDue => "not due",
            Renewal::Due => "due",
            Renewal::Overdue => "overdue",
            Renewal::ByHand => "by hand, now",
            Renewal::WhenAsked => "when asked",
        }
    }

    /// Whether it needs to be renewed.
    pub fn is_needed(self) -> bool {
        self != Renewal::NotDue
    }
}

/// Whether the appliance's Caddy believes an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Belief {
    /// It proves who it is.
    Proven,
    /// It does not, and gets nothing; why.
    Refused(String),
    /// Nobody asks it to.
    Skipped,
    /// It could not be told; why.
    Unknown(String),
}

impl fmt::Display for Belief {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Belief::Proven => f.write_str("it proves who it is"),
            Belief::Refused(why) => write!(f, "Caddy does not believe it: {why}"),
            Belief::Skipped => f.write_str("whoever answers is believed: its certificate is not proven"),
            Belief::Unknown(why) => write!(f, "whether Caddy believes it is unknown: {why}"),
        }
    }
}

/// One certificate with all that stands behind it. Texts of the certificates are as they came; the others are clean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Whose.
    pub whose: Whose,
    /// A short name: of the file, of the host, of the upstream.
    pub name: String,
    /// Where it lies, or where it was shown.
    pub at: String,
    /// The certificates of the file or the handshake in their order, its own first; never empty.
    pub chain: Vec<Parts>,
    /// The key beside it.
    pub key: KeyState,
    /// What uses it, in words: `cloud 30017`.
    pub serves: Vec<String>,
    /// Of an upstream.
    pub belief: Option<Belief>,
}

impl Item {
    /// Its own certificate; none of an item that was never made.
    pub fn own(&self) -> Option<&Certificate> {
        self.chain.first().map(|p| &p.certificate)
    }

    /// Where the order breaks: the number of the first certificate, from 1, whose signer is not the next one. None where each was signed
    /// by the next.
    pub fn breaks_at(&self) -> Option<usize> {
        self.chain.windows(2).position(|pair| pair[0].issuer != pair[1].subject).map(|at| at + 1)
    }

    /// How it stands by its dates.
    pub fn age(&self, now: Stamp, thresholds: Thresholds) -> Age {
        let Some(own) = self.own() else { return Age::Over };
        // By hand: warned by days alone, but for what lives so short that it would always be warned of.
        own.age(now, self.whose.due_s(own).unwrap_or(own.third_s()), thresholds)
    }

    /// How it stands with being renewed.
    pub fn renewal(&self, now: Stamp, thresholds: Thresholds) -> Renewal {
        let Some(own) = self.own() else { return Renewal::ByHand };
        let left = own.not_after.secs().saturating_sub(now.secs());
        match (self.whose, self.whose.due_s(own)) {
            (Whose::Internal, Some(due)) if left < due => Renewal::WhenAsked,
            (_, Some(due)) if left < due * 3 / 4 => Renewal::Overdue,
            (_, Some(due)) if left < due => Renewal::Due,
            (_, Some(_)) => Renewal::NotDue,
            (_, None) if self.age(now, thresholds) == Age::Good => Renewal::NotDue,
            (_, None) => Renewal::ByHand,
        }
    }

    /// What is wrong with it, worst first; empty where nothing is known against it. Each is one clean sentence.
    pub fn wrong(&self, now: Stamp, thresholds: Thresholds) -> Vec<(Level, String)> {
        let Some(own) = self.own() else { return Vec::new() };
        let mut out = Vec::new();
        let left = own.left(now);
        // What nobody uses troubles nobody.
        let used = !self.serves.is_empty() || !matches!(self.whose, Whose::Given | Whose::Acme);
        let bad = if used { Level::Bad } else { Level::Warn };
        if self.key == KeyState::Other {
            out.push((bad, "the key beside it is another one's".to_owned()));
        }
        if self.key == KeyState::Missing {
            out.push((bad, "there is no key beside it".to_owned()));
        }
        let renewed = self.renewal(now, thresholds);
        let late = if renewed == Renewal::Overdue { "; it should have been renewed by now" } else { "" };
        match self.age(now, thresholds) {
            // Made anew at the next visit.
            _ if renewed == Renewal::WhenAsked => {}
            Age::Over => out.push((bad, format!("it {left}{late}"))),
            Age::NotYet => out.push((bad, format!("it is valid from {} on", own.not_before.rfc3339()))),
            Age::Urgent => out.push((bad, format!("it is good for {left} more{late}"))),
            Age::Soon => out.push((Level::Warn, format!("it is good for {left} more{late}"))),
            Age::Good => {}
        }
        if let Some(nth) = self.breaks_at() {
            out.push((Level::Warn, format!("its chain is in disorder: certificate {nth} was not signed by the one behind it")));
        }
        let rest = self.chain.iter().skip(1).map(|p| &p.certificate);
        if renewed != Renewal::WhenAsked && rest.clone().any(|c| c.not_after < now) {
            out.push((Level::Warn, "a certificate of its chain is over".to_owned()));
        }
        match &self.belief {
            Some(Belief::Refused(why)) => out.push((bad, format!("Caddy does not believe it: {why}"))),
            Some(Belief::Unknown(why)) => out.push((Level::Unknown, format!("whether Caddy believes it is unknown: {why}"))),
            _ => {}
        }
        if let KeyState::Unknown(why) = &self.key {
            out.push((Level::Unknown, format!("whether its key is its own is unknown: {why}")));
        }
        out.iter_mut().for_each(|(_, why)| *why = clean(why));
        out.sort_by_key(|(level, _)| *level);
        out
    }
}

impl Inventory {
    /// In the order in which it is read.
    pub fn new(mut items: Vec<Item>, gaps: Vec<Gap>, thresholds: Thresholds, now: Stamp) -> Inventory {
        items.sort_by_cached_key(|i| {
            let worst = i.wrong(now, thresholds).first().map(|(level, _)| *level);
            (worst.is_none(), worst, i.whose, i.name.clone(), i.at.clone())
        });
        Inventory { items, gaps, thresholds }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

    use super::*;
    use crate::domain::certificate::parts;
    use crate::domain::settings::Settings;

    const NOW: i64 = 1_795_000_000;

    fn params(name: &str, from: i64, to: i64) -> CertificateParams {
        let mut params = CertificateParams::new(vec![format!("{name}.home")]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let at = |hours: i64| std::time::UNIX_EPOCH + std::time::Duration::from_secs((NOW + hours * 3600) as u64);
        (params.not_before, params.not_after) = (at(from).into(), at(to).into());
        params
    }

    /// A leaf, what signed it, and the root, each valid for hours from and to now.
    fn chain(from: i64, to: i64) -> Vec<Parts> {
        let authority = |name: &str| {
            let mut params = params(name, -9000, 9000);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params
        };
        let (root_key, middle_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let root = authority("root").self_signed(&root_key).unwrap();
        let by_root = Issuer::new(authority("root"), root_key);
        let middle = authority("middle").signed_by(&middle_key, &by_root).unwrap();
        let leaf = params("leaf", from, to).signed_by(&key, &Issuer::new(authority("middle"), middle_key)).unwrap();
        [leaf.der(), middle.der(), root.der()].map(|der| parts(der).unwrap()).into()
    }

    fn item(whose: Whose, from: i64, to: i64) -> Item {
        let serves = vec!["cloud 30017".into()];
        Item { whose, name: "x".into(), at: "/x".into(), chain: chain(from, to), key: KeyState::Matches, serves, belief: None }
    }

    fn told(item: &Item) -> (Renewal, Vec<String>) {
        let (now, thresholds) = (Stamp::from_secs(NOW), Thresholds::of(&Settings::default()).unwrap());
        let wrong = item.wrong(now, thresholds).into_iter().map(|(level, why)| format!("{level:?} {why}")).collect();
        (item.renewal(now, thresholds), wrong)
    }

    const DAY: i64 = 24;

    #[test]
    fn what_renews_itself_is_told_only_when_it_did_not() {
        let of = |whose, from, to| told(&item(whose, from, to));
        let well = |renewal| (renewal, Vec::<String>::new());
        // The node's own: two weeks before its end, and by hand never.
        assert_eq!(of(Whose::Node, -700 * DAY, 20 * DAY), well(Renewal::NotDue));
        assert_eq!(of(Whose::Node, -700 * DAY, 12 * DAY), well(Renewal::Due));
        let late = |what: &str| format!("{what}; it should have been renewed by now");
        assert_eq!(of(Whose::Node, -700 * DAY, 9 * DAY), (Renewal::Overdue, vec![late("Warn it is good for 9 d more")]));
        assert_eq!(of(Whose::Node, -700 * DAY, 3 * DAY), (Renewal::Overdue, vec![late("Bad it is good for 3 d more")]));
        assert_eq!(of(Whose::Node, -700 * DAY, -3 * DAY), (Renewal::Overdue, vec![late("Bad it expired 3 d ago")]));
        // By ACME with a third left.
        assert_eq!(of(Whose::Acme, -61 * DAY, 29 * DAY), well(Renewal::Due));
        assert_eq!(of(Whose::Acme, -70 * DAY, 20 * DAY), (Renewal::Overdue, vec![late("Warn it is good for 20 d more")]));
        assert_eq!(of(Whose::NodeAcme, -4 * DAY, 2 * DAY), well(Renewal::NotDue));
        // Those of half a day, even when nobody came.
        assert_eq!(of(Whose::Internal, -1, 11), well(Renewal::NotDue));
        assert_eq!((of(Whose::Internal, -9, 3), of(Whose::Internal, -40, -28)), (well(Renewal::WhenAsked), well(Renewal::WhenAsked)));
        assert_eq!(of(Whose::Intermediate, -5 * DAY, 2 * DAY), well(Renewal::NotDue));
        assert_eq!(of(Whose::Intermediate, -7 * DAY, 24), (Renewal::Overdue, vec![late("Warn it is good for 24 h more")]));
    }

    #[test]
    fn what_nobody_renews_is_told_by_days() {
        let of = |from, to| told(&item(Whose::Given, from, to));
        assert_eq!(of(-300 * DAY, 30 * DAY), (Renewal::NotDue, vec![]));
        assert_eq!(of(-300 * DAY, 20 * DAY), (Renewal::ByHand, vec!["Warn it is good for 20 d more".into()]));
        assert_eq!(of(-300 * DAY, 5 * DAY), (Renewal::ByHand, vec!["Bad it is good for 5 d more".into()]));
        assert_eq!(of(-300 * DAY, -5 * DAY).1, ["Bad it expired 5 d ago"]);
        assert_eq!(of(2 * DAY, 300 * DAY).1, ["Bad it is valid from 2026-11-20T11:06:40Z on"]);
        // One for a day that something else puts there is not always about to end.
        assert_eq!(of(-10, 14).1, [""; 0]);
        let unused = Item { serves: vec![], ..item(Whose::Given, -300 * DAY, -5 * DAY) };
        assert_eq!(told(&unused).1, ["Warn it expired 5 d ago"], "nobody uses it");
    }

    #[test]
    fn keys_chains_and_proofs_are_told() {
        let good = item(Whose::Given, -DAY, 100 * DAY);
        let wrong = |change: fn(&mut Item)| {
            let mut it = good.clone();
            change(&mut it);
            told(&it).1
        };
        assert_eq!((good.breaks_at(), wrong(|_| ())), (None, vec![]));
        assert_eq!(wrong(|i| i.key = KeyState::Other), ["Bad the key beside it is another one's"]);
        assert_eq!(wrong(|i| i.key = KeyState::Missing), ["Bad there is no key beside it"]);
        assert_eq!(wrong(|i| i.key = KeyState::Unknown("\u{1b}[2J".into())).len(), 1);
        assert!(wrong(|i| i.key = KeyState::Unknown("\u{1b}[2J".into()))[0].starts_with("Unknown whether its key"));
        assert!(!wrong(|i| i.key = KeyState::Unknown("\u{1b}[2J".into()))[0].contains('\u{1b}'));
        let disorder = "Warn its chain is in disorder: certificate 1 was not signed by the one behind it";
        assert_eq!(wrong(|i| i.chain.swap(1, 2)), [disorder]);
        assert_eq!(wrong(|i| drop(i.chain.remove(1))), [disorder]);
        assert_eq!(wrong(|i| i.chain.truncate(1)), [""; 0], "a root that is left out is as it should be");
        assert_eq!(wrong(|i| i.chain[2].certificate.not_after = Stamp(0)), ["Warn a certificate of its chain is over"]);
        assert_eq!(wrong(|i| i.belief = Some(Belief::Refused("no".into()))), ["Bad Caddy does not believe it: no"]);
        assert_eq!(wrong(|i| i.belief = Some(Belief::Skipped)), [""; 0]);
        assert_eq!(wrong(|i| i.belief = Some(Belief::Unknown("no".into()))).len(), 1);
    }

    #[test]
    fn what_is_wrong_stands_first() {
        let thresholds = Thresholds::of(&Settings::default()).unwrap();
        let of = |whose, name: &str, key| Item { name: name.into(), key, ..item(whose, -DAY, 100 * DAY) };
        let items = vec![
            of(Whose::Given, "b", KeyState::Matches),
            of(Whose::Given, "a", KeyState::Unknown("no".into())),
            of(Whose::Given, "c", KeyState::Other),
            of(Whose::Node, "d", KeyState::Matches),
        ];
        let all = Inventory::new(items, Vec::new(), thresholds, Stamp::from_secs(NOW));
        assert_eq!(all.items.iter().map(|i| i.name.as_str()).collect::<String>(), "cadb");
    }
}
