//! The appliance's rules: one ruleset that can be loaded any number of times, and what is in force beside it.
//!
//! Rules are written as `iptables-save` prints them, so that what is in force is compared word for word (facts §12.5).

use ipnet::Ipv4Net;

use super::desired::{Desired, LAN, WAN};
use super::forward::Forward;

/// The rules of a table, without those of chains that other programs own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Table {
    /// `nat`, `filter`, …
    pub name: String,
    /// `(chain, policy)`; a chain that somebody made has `-`.
    pub chains: Vec<(String, String)>,
    /// Rules in order, `-A …`, without counters.
    pub rules: Vec<String>,
}

/// The beginning of a rule for this source; that for all says nothing.
fn from(net: &Ipv4Net) -> String {
    if net.prefix_len() == 0 { String::new() } else { format!("-s {net} ") }
}

/// For each source: the rule that leads it there, and the one that lets it through. What comes back is the network's own.
fn forward(f: &Forward) -> impl Iterator<Item = (String, String)> {
    let (proto, to, port) = (f.carry.word(), f.to, f.to_port);
    let rules = move |from: String, at: u16| {
        let lead = format!("-A PREROUTING {from}-i {WAN} -p {proto} -m {proto} --dport {at} -j DNAT --to-destination {to}:{port}");
        let through = format!(
            "-A FORWARD {from}-d {to}/32 -i {WAN} -o {LAN} -p {proto} -m {proto} --dport {port} -m conntrack --ctstate DNAT --ctorigdstport {at} -j ACCEPT"
        );
        (lead, through)
    };
    let sources = f.sources.iter().map(from).collect::<Vec<_>>();
    std::iter::once((String::new(), f.ports.public))
        .chain(sources.into_iter().map(move |s| (s, f.ports.internal)))
        .map(move |(s, at)| rules(s, at))
}

/// The rules that should be in force.
pub fn tables(d: &Desired) -> [Table; 2] {
    let chains = |all: &[(&str, &str)]| all.iter().map(|(c, p)| ((*c).to_owned(), (*p).to_owned())).collect();
    let (lan, internal) = (d.lan, format!("{}:{}", d.internal.0, d.internal.1));
    let mut filter = Vec::new();
    for net in &d.trusted {
        filter.push(format!("-A INPUT {}-i {WAN} -p tcp -m tcp --dport {internal} -j ACCEPT", from(net)));
    }
    for opened in &d.opened {
        filter.extend(
            opened.sources.iter().map(|net| format!("-A INPUT {}-i {WAN} -p tcp -m tcp --dport {} -j ACCEPT", from(net), opened.port)),
        );
    }
    filter.push(format!("-A INPUT -i {WAN} -p tcp -m tcp --dport {internal} -j REJECT --reject-with icmp-port-unreachable"));
    if !d.forwards.is_empty() {
        // The node may use what is published, too; what answers it began nothing.
        filter.push(format!("-A FORWARD -i {LAN} -o {WAN} -m conntrack --ctstate DNAT --ctdir REPLY -j ACCEPT"));
    }
    for address in &d.guarded {
        filter.push(format!("-A FORWARD -d {address}/32 -i {LAN} -j REJECT --reject-with icmp-admin-prohibited"));
    }
    filter.push(format!("-A FORWARD -s {lan} -i {LAN} -o {WAN} -j ACCEPT"));
    let (mut nat, accept): (Vec<String>, Vec<String>) = d.forwards.iter().flat_map(forward).unzip();
    filter.extend(accept);
    // What once led elsewhere goes on nowhere, however long it is open: the kernel forgets where only when it is silent.
    filter.push(format!("-A FORWARD -i {WAN} -o {LAN} -m conntrack --ctstate DNAT -j REJECT --reject-with icmp-port-unreachable"));
    nat.push(format!("-A POSTROUTING -s {lan} -o {WAN} -j MASQUERADE"));
    filter.push(format!("-A FORWARD -d {lan} -i {WAN} -o {LAN} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"));
    [
        Table {
            name: "nat".into(),
            chains: chains(&[("PREROUTING", "ACCEPT"), ("INPUT", "ACCEPT"), ("OUTPUT", "ACCEPT"), ("POSTROUTING", "ACCEPT")]),
            rules: nat,
        },
        Table { name: "filter".into(), chains: chains(&[("INPUT", "ACCEPT"), ("FORWARD", "DROP"), ("OUTPUT", "ACCEPT")]), rules: filter },
    ]
}

/// The ruleset as `iptables-restore` takes it. Loading it replaces both tables, so twice is as once.
pub fn ruleset(d: &Desired) -> String {
    let mut out = String::new();
    for table in tables(d) {
        out.push_str(&format!("*{}\n", table.name));
        table.chains.iter().for_each(|(chain, policy)| out.push_str(&format!(":{chain} {policy} [0:0]\n")));
        table.rules.iter().for_each(|rule| out.push_str(&format!("{rule}\n")));
        out.push_str("COMMIT\n");
    }
    out
}

/// Reads what `iptables-save` printed, with or without counters; `None` for what is no such text.
pub fn parse(text: &str) -> Option<Vec<Table>> {
    let mut out: Vec<Table> = Vec::new();
    let mut open = false;
    for line in text.lines().map(str::trim_end).filter(|l| !l.is_empty() && !l.starts_with('#')) {
        if let Some(name) = line.strip_prefix('*') {
            out.push(Table { name: name.to_owned(), ..Table::default() });
            open = true;
            continue;
        }
        let table = out.last_mut().filter(|_| open)?;
        if line == "COMMIT" {
            open = false;
        } else if let Some(chain) = line.strip_prefix(':') {
            let mut words = chain.split(' ');
            table.chains.push((words.next()?.to_owned(), words.next()?.to_owned()));
        } else {
            let rule = if line.starts_with('[') { line.split_once("] ")?.1 } else { line };
            table.rules.push(rule.starts_with("-A ").then(|| rule.to_owned())?);
        }
    }
    (!open).then_some(out)
}

/// What is in force compared with what should be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Compared {
    /// Rules that are missing.
    pub missing: Vec<String>,
    /// Rules that stand there more than once, with their number.
    pub doubled: Vec<(String, usize)>,
    /// Rules that nobody here made and that change addresses or the way, in the same chains.
    pub foreign: Vec<String>,
    /// Chains whose policy is another one: `FORWARD ACCEPT`.
    pub policies: Vec<String>,
    /// Whether our rules stand in another order among themselves.
    pub order: bool,
}

impl Compared {
    /// Whether all is as it should be.
    pub fn is_same(&self) -> bool {
        *self == Compared::default()
    }

    /// What differs, in words; rules as they stand there.
    pub fn words(&self) -> String {
        let mut out = Vec::new();
        out.extend(self.missing.iter().map(|r| format!("missing: {r}")));
        out.extend(self.doubled.iter().map(|(r, n)| format!("{n} times: {r}")));
        out.extend(self.foreign.iter().map(|r| format!("of somebody else, and goes: {r}")));
        out.extend(self.policies.iter().map(|p| format!("what no rule names: {p}")));
        out.extend(self.order.then(|| "in another order".to_owned()));
        format!("rules in force: {}", out.join("; "))
    }
}

/// Compares. A table that is not there has no rules, and its chains accept.
pub fn compare(wanted: &[Table], found: &[Table]) -> Compared {
    let mut out = Compared::default();
    for want in wanted {
        let empty = Table::default();
        let have = found.iter().find(|t| t.name == want.name).unwrap_or(&empty);
        for rule in &want.rules {
            match have.rules.iter().filter(|r| *r == rule).count() {
                0 => out.missing.push(rule.clone()),
                1 => {}
                n => out.doubled.push((rule.clone(), n)),
            }
        }
        let chain = |rule: &str| rule.split(' ').nth(1).unwrap_or("").to_owned();
        let ours = |c: &str| want.chains.iter().any(|(name, _)| name == c);
        out.foreign.extend(have.rules.iter().filter(|r| !want.rules.contains(r) && ours(&chain(r))).cloned());
        let kept: Vec<&String> = have.rules.iter().filter(|r| want.rules.contains(r)).collect();
        let mut firsts: Vec<&String> = Vec::new();
        kept.iter().for_each(|r| {
            if !firsts.contains(r) {
                firsts.push(r);
            }
        });
        out.order |= !firsts.iter().zip(want.rules.iter().filter(|r| firsts.contains(r))).all(|(a, b)| *a == b);
        for (name, policy) in &want.chains {
            let is = have.chains.iter().find(|(c, _)| c == name).map_or("ACCEPT", |(_, p)| p);
            if is != policy {
                out.policies.push(format!("{name} {is}"));
            }
        }
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::desired::tests::sample;
    use super::*;

    #[test]
    fn what_was_written_reads_as_the_same() {
        let (text, d) = (ruleset(&sample()), tables(&sample()));
        let saved = format!("# Generated by iptables-save v1.8.9 (nf_tables) on Fri\n{}", text.replace("[0:0]", "[12:3400]"));
        assert!(compare(&d, &parse(&saved).unwrap()).is_same(), "{:?}", compare(&d, &parse(&saved).unwrap()));
        let counted = text.replace("-A POSTROUTING", "[7:420] -A POSTROUTING");
        assert!(compare(&d, &parse(&counted).unwrap()).is_same());
    }

    #[test]
    fn what_differs_is_told_apart() {
        let (text, d) = (ruleset(&sample()), tables(&sample()));
        let nat = "-A POSTROUTING -s 10.20.0.0/24 -o eth0 -j MASQUERADE\n";
        let of = |text: &str| compare(&d, &parse(text).unwrap());
        assert_eq!(of(&text.replace(nat, &nat.repeat(3))).doubled, [(nat.trim_end().to_owned(), 3)]);
        assert_eq!(of(&text.replace(nat, "")).missing, [nat.trim_end()]);
        assert_eq!(of(&text.replace("FORWARD DROP", "FORWARD ACCEPT")).policies, ["FORWARD ACCEPT"]);
        let foreign = "-A POSTROUTING -o eth0 -j MASQUERADE";
        assert_eq!(of(&text.replace(nat, &format!("{nat}{foreign}\n"))).foreign, [foreign]);
        assert!(of("").policies == ["FORWARD ACCEPT"] && of("").missing.len() == d.iter().map(|t| t.rules.len()).sum::<usize>());
        let mut lines: Vec<&str> = text.lines().collect();
        let at = lines.iter().position(|l| l.contains("admin-prohibited")).unwrap();
        lines.swap(at, at + 1);
        assert!(of(&lines.join("\n")).order, "an accept before the guard lets everything through");
    }

    #[test]
    fn what_is_no_ruleset_is_none() {
        for bad in ["-A INPUT -j DROP", "*nat\n-A x", "*nat\nnonsense\nCOMMIT", "iptables: command not found", "*nat\n:INPUT\nCOMMIT"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        assert_eq!(parse("").unwrap(), []);
    }
}
