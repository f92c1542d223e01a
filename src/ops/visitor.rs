//! What an app gets, asked from where an app stands: in the network of a running app, or, where none runs, of a visitor. A
//! visitor is a network namespace of the host with one cable into the bridge of the apps, and it asks like an app that is new.
//!
//! It is there for the time of the questions, and gives back what it was lent. One at a time is plugged in: its cable has a
//! fixed name, and whoever finds it taken waits. The namespace is named after the process that made it; what a killed one
//! left is cleared by the next. No plan makes it: nothing of it outlives the look, and whoever may change nothing has none.

use std::net::Ipv4Addr;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use super::check::init_pid;
use super::probe::run;
use crate::domain::appliance::Seat;
use crate::domain::appliance::answer::{Asked, Gave, offer};
use crate::domain::appliance::desired::Desired;
use crate::domain::appliance::judge::mtu;
use crate::domain::appliance::lease::Leases;
use crate::domain::appliance::names::{Mac, VISITOR};
use crate::domain::cmd::Cmd;
use crate::domain::guest::{Guest, Power};
use crate::host::{Found, Host, HostError, Look, text_of};

/// Seconds a question may take.
const LIMIT_S: u32 = 5;
/// The same for one who is new: dnsmasq looks for three seconds whether anybody has the address before it offers it.
const NEW_LIMIT_S: u32 = 10;
/// Ports of the node that an app must not reach.
const NODE_PORTS: [u16; 2] = [22, 8006];
/// The visitor's cable, on the side of the host.
const CABLE: &str = "prox-visitor";
/// The beginning of its namespace's name; the process id follows.
const NAMED: &str = "proximity-visitor-";
/// How long somebody else's visitor is waited for, and how often it is asked whether it is gone.
const PATIENCE: Duration = Duration::from_secs(12);
const AGAIN: Duration = Duration::from_millis(100);

/// What came back.
pub(super) struct Outside {
    /// Who asked: `a running app`.
    pub(super) who: &'static str,
    /// An address.
    pub(super) dhcp: Asked<Gave>,
    /// A connection to upstream.
    pub(super) way_out: Asked<Gave>,
    /// A connection to Caddy's administration.
    pub(super) admin: Asked<Gave>,
    /// Connections to the node.
    pub(super) guarded: Vec<Asked<Gave>>,
    /// The app's interface on the bridge, and all it has; nothing where no app runs.
    pub(super) links: Option<(String, Asked<Gave>)>,
}

/// Asks. `may` says why nothing may be made on the host, where that is so.
pub(super) async fn ask(
    host: &dyn Host,
    d: Option<&Desired>,
    guests: &[Guest],
    leases: Option<&Leases>,
    may: Result<(), String>,
) -> Outside {
    let no_app = match app(host, d, guests, leases).await {
        Ok(app) => {
            let (dhcp, links, rest) = tokio::join!(app.dhcp(), app.links(), app.connections(d));
            return app.told(dhcp, Some(links), rest).await;
        }
        Err(why) => why,
    };
    let entered = match (may, d) {
        (Err(why), _) => Err(why),
        (_, None) => Err("how it should be is not known".into()),
        (Ok(()), Some(d)) => enter(host, d).await.map(|visitor| (visitor, d)),
    };
    match entered {
        Ok((visitor, d)) => {
            let dhcp = visitor.dhcp().await;
            let settled = visitor.settle(d, &dhcp).await;
            let rest = match &settled {
                Ok(()) => visitor.connections(Some(d)).await,
                Err(why) => nobody(host, Some(d), why),
            };
            let told = visitor.told(dhcp, None, rest).await;
            visitor.leave(settled.is_ok()).await;
            told
        }
        Err(why) => {
            let why = format!("{no_app}, and no visitor asks: {why}");
            let dhcp = Asked::not("busybox udhcpc …", host.clock().0, why.clone());
            let (way_out, admin, guarded) = nobody(host, d, &why);
            Outside { who: "nobody", dhcp, way_out, admin, guarded, links: None }
        }
    }
}

type Connections = (Asked<Gave>, Asked<Gave>, Vec<Asked<Gave>>);

/// A place from which is asked.
struct Spot<'a> {
    host: &'a dyn Host,
    who: &'static str,
    /// Its network namespace.
    net: String,
    /// Its interface.
    nic: String,
    /// The client id by which it has its lease, if it has one; empty for none of its own.
    client: Option<String>,
    /// It has no lease.
    new: bool,
}

/// A command of the host in a network namespace, and in nothing else of whoever has it.
pub(super) fn in_network<A: Into<String>>(net: &str, more: &[&str], argv: impl IntoIterator<Item = A>) -> Cmd {
    let net = format!("--net={net}");
    let head = std::iter::once(net.as_str()).chain(more.iter().copied()).chain(["--"]);
    Cmd::new("nsenter", head.map(str::to_owned).chain(argv.into_iter().map(Into::into)))
}

/// The network namespace of a process.
pub(super) fn net_of(pid: u32) -> String {
    format!("/proc/{pid}/ns/net")
}

/// A running app; one that has a lease, if there is one: asked for again by the same client id, it is the same lease.
async fn app<'a>(host: &'a dyn Host, d: Option<&Desired>, guests: &[Guest], leases: Option<&Leases>) -> Result<Spot<'a>, String> {
    let bridge = d.map(|d| d.lan_bridge.as_str());
    let asks = |g: &&Guest| g.power == Power::Running && Seat::of(g).is_none();
    let nics = guests.iter().filter(asks).flat_map(|g| g.nics.iter().map(move |n| (g, n)));
    let on_bridge = nics.filter(|(_, n)| bridge.is_some() && n.bridge.as_deref() == bridge && n.ip.as_deref() == Some("dhcp"));
    let lease_of = |mac: &str| leases.zip(Mac::new(mac)).and_then(|(l, mac)| l.all.iter().find(|l| l.mac == mac));
    let mut all: Vec<_> = on_bridge.map(|(g, n)| (g.id, n.name.clone(), n.hwaddr.as_deref().and_then(lease_of))).collect();
    all.sort_by_key(|(_, _, lease)| lease.is_none());
    let (id, nic, lease) =
        all.into_iter().next().ok_or("no running container of this node asks for its address on the bridge of the apps")?;
    let client = lease.map(|l| l.client.clone().unwrap_or_default());
    // Where it is not known what was lent, it is one that was there before.
    let new = client.is_none() && leases.is_some();
    match init_pid(host, id).await {
        Ok(Some(pid)) => Ok(Spot { host, who: "a running app", net: net_of(pid), nic, client, new }),
        Ok(None) => Err(format!("the init of {id} is not known")),
        Err(e) => Err(e.to_string()),
    }
}

/// Connections that are not tried, and why.
fn nobody(host: &dyn Host, d: Option<&Desired>, why: &str) -> Connections {
    let not = |_| Asked::not("busybox nc …", host.clock().0, why);
    let node = d.map_or(0, |d| d.guarded.len() * NODE_PORTS.len());
    (not(0), not(0), (0..node).map(not).collect())
}

impl Spot<'_> {
    async fn ask<A: Into<String>>(&self, argv: impl IntoIterator<Item = A>) -> Asked<Gave> {
        run(self.host, in_network(&self.net, &[], argv).limit(if self.new { NEW_LIMIT_S } else { LIMIT_S })).await
    }

    /// Whether a TCP connection is made; nothing is sent.
    async fn connect(&self, address: Option<String>, port: u16) -> Asked<Gave> {
        match address {
            Some(address) => self.ask(["busybox", "nc", "-w", "1", &address, &port.to_string(), "-e", "/bin/true"]).await,
            None => Asked::not(format!("busybox nc … {port}"), self.host.clock().0, "how it should be is not known"),
        }
    }

    async fn connections(&self, d: Option<&Desired>) -> Connections {
        let upstream = d.and_then(|d| d.upstream.first()).map(ToString::to_string);
        let guarded = d.into_iter().flat_map(|d| &d.guarded).flat_map(|a| NODE_PORTS.map(|port| (a.to_string(), port)));
        tokio::join!(
            self.connect(upstream, 53),
            self.connect(d.map(|d| d.gateway.to_string()), 2019),
            join_all(guarded.map(|(address, port)| self.connect(Some(address), port))),
        )
    }

    /// Asks for an address; whoever asks does not take it on (`-s /bin/true`).
    async fn dhcp(&self) -> Asked<Gave> {
        self.ask(self.udhcpc(&[])).await
    }

    fn udhcpc(&self, more: &[&str]) -> Vec<String> {
        // Who has no lease may wait for three seconds, so that twice one is not enough.
        let (times, wait) = if self.new { ("3", "2") } else { ("2", "1") };
        let words = ["busybox", "udhcpc", "-f", "-q", "-n", "-t", times, "-T", wait, "-s", "/bin/true", "-i", &self.nic];
        let mut argv: Vec<String> = words.iter().chain(more).map(|w| (*w).to_owned()).collect();
        match self.client.as_deref() {
            // Without a lease: the usual id, made of the hardware address.
            None => {}
            Some("") => argv.push("-C".into()),
            Some(id) => argv.extend(["-C".into(), "-x".into(), format!("0x3d:{}", id.replace(':', ""))]),
        }
        argv
    }

    async fn links(&self) -> Asked<Gave> {
        self.ask(mtu::QUESTION).await
    }

    /// A place that went away answers nothing: nsenter then ends like a connection that was refused.
    async fn told(&self, dhcp: Asked<Gave>, links: Option<Asked<Gave>>, (way_out, admin, guarded): Connections) -> Outside {
        let there = self.host.look(vec![Look::Stat(self.net.clone())]).await.into_iter().next();
        let gone = !matches!(there, Some(Ok(_)));
        let still = |asked: Asked<Gave>| {
            if gone { Asked::not(asked.question, asked.at, format!("{} went away meanwhile", self.who)) } else { asked }
        };
        Outside {
            who: self.who,
            dhcp: still(dhcp),
            way_out: still(way_out),
            admin: still(admin),
            guarded: guarded.into_iter().map(still).collect(),
            links: links.map(|links| (self.nic.clone(), still(links))),
        }
    }
}

async fn ip(host: &dyn Host, words: &[&str]) -> Result<(), String> {
    let cmd = Cmd::new("ip", words.iter().copied()).limit(LIMIT_S);
    host.run(cmd).await.and_then(|out| out.success().map(|_| ())).map_err(|e| e.to_string())
}

/// Whether a path is there.
pub(super) async fn is_there(host: &dyn Host, path: String) -> Result<bool, String> {
    match host.look(vec![Look::Stat(path)]).await.into_iter().next() {
        Some(Ok(_)) => Ok(true),
        Some(Err(HostError::Missing { .. })) => Ok(false),
        Some(Err(e)) => Err(e.to_string()),
        None => Err("no answer".into()),
    }
}

/// Makes a visitor and plugs it in. With the bridge's own MTU: a bridge takes on the smallest of what is plugged in.
async fn enter<'a>(host: &'a dyn Host, d: &Desired) -> Result<Spot<'a>, String> {
    let bridge = d.lan_bridge.as_str();
    let mtu = host.look(vec![Look::File(format!("/sys/class/net/{bridge}/mtu"), 64)]).await.into_iter().next();
    let mtu = match mtu.map(|found| text_of(&found)) {
        Some(Ok(text)) => text.trim().parse::<u32>().map_err(|e| format!("the MTU of {bridge} cannot be read: {e}"))?.to_string(),
        Some(Err(HostError::Missing { .. })) => return Err(format!("there is no bridge {bridge}")),
        Some(Err(e)) => return Err(e.to_string()),
        None => return Err("no answer".into()),
    };
    clear(host).await?;
    let name = own_name();
    ip(host, &["netns", "add", &name]).await?;
    let visitor = Spot { host, who: "a visitor", net: format!("/run/netns/{name}"), nic: "eth0".into(), client: None, new: true };
    let mac = VISITOR.to_string();
    let cable =
        ["link", "add", "name", CABLE, "mtu", &mtu, "type", "veth", "peer", "name", "eth0", "mtu", &mtu, "address", &mac, "netns", &name];
    if let Err(why) = alone(host, &cable).await {
        // Whose cable it is, is somebody else's.
        let _ = ip(host, &["netns", "del", &name]).await;
        return Err(why);
    }
    let plugged = async {
        ip(host, &["link", "set", "dev", CABLE, "master", bridge, "up"]).await?;
        ip(host, &["-n", &name, "link", "set", "dev", "eth0", "up"]).await
    };
    if let Err(why) = plugged.await {
        visitor.leave(false).await;
        return Err(why);
    }
    Ok(visitor)
}

/// Makes the cable, when nobody else has one any more.
async fn alone(host: &dyn Host, cable: &[&str]) -> Result<(), String> {
    let (begun, mut free) = (Instant::now(), false);
    loop {
        let Err(why) = ip(host, cable).await else { return Ok(()) };
        let taken = is_there(host, format!("/sys/class/net/{CABLE}")).await?;
        // It may have gone between the two questions, once.
        if !taken && std::mem::replace(&mut free, true) {
            return Err(why);
        }
        if begun.elapsed() > PATIENCE {
            return Err("a visitor of somebody else is there".into());
        }
        if taken {
            sleep(AGAIN).await;
        }
    }
}

fn own_name() -> String {
    format!("{NAMED}{}", std::process::id())
}

/// Removes the visitors of processes that are gone; their cables go with them. One of our own is one that was left behind:
/// a process has one look at a time.
async fn clear(host: &dyn Host) -> Result<(), String> {
    let names = match host.look(vec![Look::Dir("/run/netns".into())]).await.into_iter().next() {
        Some(Ok(Found::Names(names))) => names,
        // Nobody made a namespace with a name yet.
        Some(Err(HostError::Missing { .. })) => return Ok(()),
        Some(Err(e)) => return Err(e.to_string()),
        _ => return Err("no answer".into()),
    };
    for name in names {
        let Some(pid) = name.strip_prefix(NAMED).and_then(|pid| pid.parse::<u32>().ok()) else { continue };
        if name == own_name() || !is_there(host, format!("/proc/{pid}")).await? {
            ip(host, &["netns", "del", &name]).await?;
        }
    }
    Ok(())
}

impl Spot<'_> {
    /// Takes on what was lent, as an app would.
    async fn settle(&self, d: &Desired, dhcp: &Asked<Gave>) -> Result<(), String> {
        let lent = dhcp.answer.as_ref().ok().filter(|gave| gave.status == 0).and_then(offer);
        let (address, _) = lent.ok_or("the visitor was lent no address")?;
        if !d.lan.contains(&address) {
            return Err(format!("the visitor was lent {address}, which is not in {}", d.lan));
        }
        let name = own_name();
        let with_prefix = format!("{address}/{}", d.lan.prefix_len());
        ip(self.host, &["-n", &name, "address", "add", &with_prefix, "dev", "eth0"]).await?;
        let gateway: Ipv4Addr = d.gateway;
        ip(self.host, &["-n", &name, "route", "add", "default", "via", &gateway.to_string()]).await
    }

    /// Gives back what was lent, where it has it, and takes the visitor away. What cannot be taken away now is cleared by the
    /// next look.
    async fn leave(&self, lent: bool) {
        if lent {
            // The same lease once more, and its release on the way out; that is sent from the address itself.
            self.ask(self.udhcpc(&["-R"])).await;
        }
        for words in [["link", "del", CABLE], ["netns", "del", &own_name()]] {
            if let Err(why) = ip(self.host, &words).await {
                tracing::warn!(%why, "the visitor could not be taken away");
            }
        }
    }
}
