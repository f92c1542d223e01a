//! The file of one published thing for Caddy. The same bytes for the same thing, from typed values only: names, numbers and
//! networks, none of which can hold a character that means something in a Caddyfile.

use ipnet::IpNet;

use super::appliance::desired::FORMAT;
use super::appliance::files::{CURRENT, access_log};
use super::appliance::names::Name;
use super::clean::clean;
use super::ports::ServiceName;
use super::service::{Auth, Key, PREFIX, Proof, Service, Spec, Tls, Upstream};
use super::settings::{Settings, Value};

/// What a browser may not heed in a frame, and what older ones call it.
const FRAMES: [&str; 5] =
    ["X-Frame-Options", "Content-Security-Policy", "Content-Security-Policy-Report-Only", "X-Content-Security-Policy", "X-WebKit-CSP"];

/// What the settings say about all sites: the domain of the apps, and who may use internal ports.
pub fn around(settings: &Settings) -> Result<(Name, Vec<IpNet>), String> {
    let value = |name: &str| settings.value(&name.parse()?);
    let domain = value("network.domain")?.and_then(|v| Name::new(&v.to_string()));
    let trusted = match (value("ports.trusted")?, value("network.subnet")?) {
        (Some(Value::Nets(nets)), _) => Some(nets),
        (None, Some(Value::Net(net))) => Some(vec![net]),
        _ => None,
    };
    domain.zip(trusted).ok_or_else(|| "network.domain, network.subnet or ports.trusted cannot be used".to_owned())
}

/// Where the file lies.
pub fn path(service: &Service) -> String {
    format!("{CURRENT}/{}.caddy", service.name)
}

/// Where certificates lie that operators put into the appliance.
pub const CERTIFICATES: &str = "/etc/caddy/proximity-tls";

/// Where Caddy may keep what it makes itself: Alpine's service says `XDG_DATA_HOME=/var/lib`, Debian's leaves it to the home
/// `/var/lib/caddy`. Below it lie `certificates/AUTHORITY/NAME/NAME.crt` (with `.key` and `.json`) and
/// `pki/authorities/local/` with `root.crt` and `intermediate.crt`.
pub const DATA: [&str; 2] = ["/var/lib/caddy", "/var/lib/caddy/.local/share/caddy"];

/// Seconds for which Caddy tries to reach what stands behind a site. The questions of the lamps wait longer.
const REACH_S: u32 = 3;

/// The file: one site for everybody, with all headers; one that may stand in a frame, for these networks (or for those that the
/// service names itself) and the appliance. `X-Forwarded-For`, `-Proto` and `-Host` are set by Caddy, which believes no client
/// about them. It is for what is carried by HTTP; the rest has rules ([`super::appliance::forward`]).
pub fn site(service: &Service, trusted: &[IpNet]) -> String {
    let Service { name, pair, spec } = service;
    let path = path(service);
    let mut file = vec![format!("# Made by Proximity, format {FORMAT}, for {name}: {path}")];
    if spec.proof == Proof::Skipped {
        file.push(format!("# !!! THE UPSTREAM IS NOT VERIFIED: whoever answers at {} is believed, and sees everything !!!", spec.to));
    }
    file.extend(block(service, pair.public, None));
    file.extend(block(service, pair.internal, Some(spec.sources.as_deref().unwrap_or(trusted))));
    file.push(String::new());
    file.join("\n")
}

/// Lines a step further in.
fn within(lines: impl IntoIterator<Item = String>) -> impl Iterator<Item = String> {
    lines.into_iter().map(|line| format!("\t{line}"))
}

/// A directive with a block of its own.
fn with(head: impl Into<String>, lines: impl IntoIterator<Item = String>) -> Vec<String> {
    let head = format!("{} {{", head.into());
    std::iter::once(head).chain(within(lines)).chain(["}".to_owned()]).collect()
}

/// One of both sites; the internal one is for these networks.
fn block(service: &Service, port: u16, only: Option<&[IpNet]>) -> Vec<String> {
    let Service { name, spec, .. } = service;
    let mut lines = access_log(Some(port));
    lines.extend(certificate(&spec.tls));
    let refused = only.map(|networks| {
        let networks: String = networks.iter().map(|net| format!(" {net}")).collect();
        lines.push(format!("@stranger not remote_ip 127.0.0.1 ::1{networks}"));
        "respond @stranger 403".to_owned()
    });
    if let Auth::Jwt { copy, .. } = &spec.auth {
        lines.extend(copy.iter().map(|header| format!("@unsaid-{header} header_regexp {header} ^[{{]http[.]")));
    }
    if let Auth::Bearer { previous: Some((_, until)), .. } = &spec.auth {
        // Caddy itself looks at the clock: nobody has to come by when the time is over. Should it not understand the question, it is.
        let within = format!("expression \"int({{time.now.unix}}) < {}\"", until.secs());
        lines.extend([format!("@in-grace {within}"), format!("@past-grace not {within}")]);
    }
    let login = login(&spec.auth, name);
    // Caddy asks for a login before it answers by itself, in whatever order both are written; but not in a route.
    let ordered = !login.is_empty();
    let handled: Vec<String> = refused.into_iter().chain(login).chain(proxy(spec, port, only.is_some())).collect();
    lines.extend(if ordered { with("route", handled) } else { handled });
    let mut out = with(addresses(&spec.tls, port), lines);
    // A site with names takes a name in any letters and without its port, and its log knows none of these; and Caddy answers
    // whatever other name with an empty page. What no name has goes to the log all the same, and is told that it is wrong here.
    if matches!(spec.tls, Tls::Internal { .. } | Tls::Acme { .. }) {
        out.extend(with(format!("https://:{port}"), access_log(Some(port)).into_iter().chain(["respond 421".to_owned()])));
    }
    out
}

/// What a site is asked by.
fn addresses(tls: &Tls, port: u16) -> String {
    match tls {
        Tls::Off => format!("http://:{port}"),
        Tls::Given { .. } => format!("https://:{port}"),
        Tls::Internal { names } => names.iter().map(|name| format!("https://{name}:{port}")).collect::<Vec<_>>().join(", "),
        Tls::Acme { name, .. } => format!("https://{name}:{port}"),
    }
}

/// The base says `auto_https off`, so that no site of anybody gets a certificate unasked; then one is made when it is first asked
/// for, and for the names of the site alone.
fn certificate(tls: &Tls) -> Vec<String> {
    let on_demand = || ["on_demand".to_owned()];
    match tls {
        Tls::Off => Vec::new(),
        Tls::Internal { .. } => with("tls internal", on_demand()),
        Tls::Given { certificate } => vec![format!("tls {CERTIFICATES}/{certificate}.crt {CERTIFICATES}/{certificate}.key")],
        Tls::Acme { mail: Some(mail), .. } => with(format!("tls {mail}"), on_demand()),
        Tls::Acme { mail: None, .. } => with("tls", on_demand()),
    }
}

/// What stands before the app. `basicauth` is `basic_auth` since Caddy 2.8, which takes the older name, too; 2.6 knows no other.
fn login(auth: &Auth, name: &ServiceName) -> Vec<String> {
    let accounts = |when: &str, all: Vec<String>| with(format!("basicauth {when}bcrypt {name}"), all);
    match auth {
        Auth::None => Vec::new(),
        Auth::Basic { user, hash } => accounts("", vec![format!("\"{user}\" {hash}")]),
        Auth::Bearer { now, previous } => {
            let line = |key: &Key| format!("{} {}", key.slot.word(), key.hash);
            let mut lines = vec![format!("request_header Authorization \"^(?i:Bearer) {PREFIX}([A-Za-z0-9+/]+)$\" \"Basic $1\"")];
            match previous {
                None => lines.extend(accounts("", vec![line(now)])),
                Some((key, _)) => {
                    lines.extend(accounts("@in-grace ", vec![line(now), line(key)]));
                    lines.extend(accounts("@past-grace ", vec![line(now)]));
                }
            }
            lines
        }
        Auth::Jwt { verifier, path, copy } => {
            // Caddy before 2.11 passes on what the visitor says of himself where the verifier says nothing.
            let mut lines: Vec<String> = copy.iter().map(|header| format!("request_header -{header}")).collect();
            let mut how = vec![format!("uri {path}")];
            if !copy.is_empty() {
                how.push(format!("copy_headers{}", copy.iter().map(|header| format!(" {header}")).collect::<String>()));
            }
            how.extend(transport(verifier, &Proof::Own));
            lines.extend(with(format!("forward_auth {verifier}"), how));
            // Caddy 2.6 passes the words of the rule on where the verifier says nothing.
            lines.extend(copy.iter().map(|header| format!("request_header @unsaid-{header} -{header}")));
            lines
        }
    }
}

fn proxy(spec: &Spec, port: u16, framed: bool) -> Vec<String> {
    let mut lines = vec![format!("header_up X-Forwarded-Port {port}")];
    if matches!(spec.auth, Auth::Basic { .. } | Auth::Bearer { .. }) {
        // It is ours, and not for the app to know.
        lines.push("header_up -Authorization".into());
    }
    if framed {
        lines.extend(FRAMES.iter().map(|header| format!("header_down -{header}")));
    }
    if let Some(path) = &spec.health {
        lines.extend([format!("health_uri {path}"), "health_interval 30s".into(), "health_timeout 5s".into()]);
    }
    if spec.to.tls {
        // Later ones say the upstream's own name to it (2.11).
        lines.push("header_up Host {http.request.hostport}".into());
    }
    lines.extend(transport(&spec.to, &spec.proof));
    with(format!("reverse_proxy {}", spec.to), lines)
}

fn transport(to: &Upstream, proof: &Proof) -> Vec<String> {
    let mut lines = vec![format!("dial_timeout {REACH_S}s")];
    match proof {
        _ if !to.tls => {}
        Proof::Own => {}
        Proof::Named(name) => lines.push(format!("tls_server_name {name}")),
        Proof::Skipped => lines.push("tls_insecure_skip_verify".into()),
    }
    with("transport http", lines)
}

/// What a text says that no site may say: whatever reads files or the environment, runs a program, takes in other files or
/// reaches the administration. The first of it, as it stands there; `None` where there is none (TRUST T23).
pub fn denied(text: &str) -> Option<String> {
    const WORDS: [&str; 14] = [
        "exec",
        "root",
        "file_server",
        "templates",
        "php_fastcgi",
        "storage",
        "admin",
        "acme_server",
        "events",
        "on_demand_tls",
        "browse",
        "unix",
        "invoke",
        "metrics",
    ];
    const WITHIN: [&str; 5] = ["{env.", "{$", "{file.", "{system.", "unix/"];
    for line in text.lines().map(str::trim).filter(|l| !l.starts_with('#')) {
        let mut words = line.split_whitespace();
        let first = words.next().unwrap_or_default();
        let elsewhere = first == "import" && words.next() != Some("access");
        if elsewhere || WORDS.contains(&first) || WITHIN.iter().any(|w| line.contains(w)) || line.contains(['`', '\\']) {
            return Some(clean(&line.chars().take(120).collect::<String>()));
        }
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::appliance::names::Label;
    use crate::domain::ports::Pair;
    use crate::domain::service::{Account, Carry, Hash, Slot, UpHost, UriPath};
    use crate::domain::stamp::Stamp;

    fn service(name: &str, to: &str) -> Service {
        Service { name: name.parse().unwrap(), pair: Pair { public: 30_017, internal: 40_017 }, spec: Spec::to(to.parse().unwrap()) }
    }

    #[test]
    fn a_file_is_what_it_was() {
        let text =
            site(&service("nextcloud", "nextcloud.prox.local:80"), &["192.168.1.0/24".parse().unwrap(), "fd00::/8".parse().unwrap()]);
        assert_eq!(
            text,
            "# Made by Proximity, format 2, for nextcloud: /etc/caddy/proximity/current/nextcloud.caddy
http://:30017 {
\tlog {
\t\toutput file /var/log/caddy/access.log {
\t\t\troll_size 10MiB
\t\t\troll_keep 5
\t\t\troll_keep_for 720h
\t\t}
\t\tformat json {
\t\t\tname_key port-30017
\t\t}
\t}
\treverse_proxy http://nextcloud.prox.local:80 {
\t\theader_up X-Forwarded-Port 30017
\t\ttransport http {
\t\t\tdial_timeout 3s
\t\t}
\t}
}
http://:40017 {
\tlog {
\t\toutput file /var/log/caddy/access.log {
\t\t\troll_size 10MiB
\t\t\troll_keep 5
\t\t\troll_keep_for 720h
\t\t}
\t\tformat json {
\t\t\tname_key port-40017
\t\t}
\t}
\t@stranger not remote_ip 127.0.0.1 ::1 192.168.1.0/24 fd00::/8
\trespond @stranger 403
\treverse_proxy http://nextcloud.prox.local:80 {
\t\theader_up X-Forwarded-Port 40017
\t\theader_down -X-Frame-Options
\t\theader_down -Content-Security-Policy
\t\theader_down -Content-Security-Policy-Report-Only
\t\theader_down -X-Content-Security-Policy
\t\theader_down -X-WebKit-CSP
\t\ttransport http {
\t\t\tdial_timeout 3s
\t\t}
\t}
}
"
        );
        assert_eq!(crate::domain::appliance::files::made_by_us(&text), Some(FORMAT));
    }

    /// Hashes as they look; of what, nobody knows.
    fn hash(n: char) -> Hash {
        format!("$2b$12${}", n.to_string().repeat(53)).parse().unwrap()
    }

    fn basic() -> Auth {
        Auth::Basic { user: "ada".parse().unwrap(), hash: hash('x') }
    }

    #[test]
    fn a_file_with_everything_is_what_it_was() {
        let name: UpHost = "cloud.home".parse().unwrap();
        let spec = Spec {
            proof: Proof::Named(Name::new("cloud.internal").unwrap()),
            sources: Some(vec!["10.9.0.0/16".parse().unwrap()]),
            health: Some("/healthz?full=1".parse().unwrap()),
            auth: basic(),
            tls: Tls::Internal { names: vec![name, "[fd00::1]".parse().unwrap()] },
            ..Spec::to("https://10.20.0.9:8443".parse().unwrap())
        };
        let all = Service { spec, ..service("cloud", "x:1") };
        let log = |port| access_log(Some(port)).iter().map(|l| format!("\t{l}\n")).collect::<String>();
        let text = site(&all, &["192.168.1.0/24".parse().unwrap()]).replace(&log(30_017), "LOG\n").replace(&log(40_017), "LOG\n");
        let (public, internal) = text.split_once("}\n}\n").unwrap();
        assert_eq!(
            public,
            "# Made by Proximity, format 2, for cloud: /etc/caddy/proximity/current/cloud.caddy
https://cloud.home:30017, https://[fd00::1]:30017 {
LOG
\ttls internal {
\t\ton_demand
\t}
\troute {
\t\tbasicauth bcrypt cloud {
\t\t\t\"ada\" $2b$12$xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
\t\t}
\t\treverse_proxy https://10.20.0.9:8443 {
\t\t\theader_up X-Forwarded-Port 30017
\t\t\theader_up -Authorization
\t\t\thealth_uri /healthz?full=1
\t\t\thealth_interval 30s
\t\t\thealth_timeout 5s
\t\t\theader_up Host {http.request.hostport}
\t\t\ttransport http {
\t\t\t\tdial_timeout 3s
\t\t\t\ttls_server_name cloud.internal
\t\t\t}
\t\t}
\t"
        );
        let rest = "https://:30017 {
LOG
\trespond 421
}
https://cloud.home:40017, https://[fd00::1]:40017 {
LOG
\ttls internal {
\t\ton_demand
\t}
\t@stranger not remote_ip 127.0.0.1 ::1 10.9.0.0/16
\troute {
\t\trespond @stranger 403
\t\tbasicauth bcrypt cloud {
";
        assert!(internal.starts_with(rest) && internal.contains("\t\t\theader_down -X-Frame-Options\n"), "{internal}");
        assert!(internal.ends_with("}\nhttps://:40017 {\nLOG\n\trespond 421\n}\n"), "{internal}");
    }

    #[test]
    fn what_is_not_verified_is_said_and_each_login_and_certificate_stands_as_caddy_wants_it() {
        let of = |change: &dyn Fn(&mut Spec)| {
            let mut it = service("cloud", "https://web:443");
            change(&mut it.spec);
            let log = access_log(Some(30_017)).join("\n").replace('\t', "");
            (site(&it, &[]).replace('\t', "").replace(&log, "LOG"), it.spec)
        };
        let (text, spec) = of(&|s| s.proof = Proof::Skipped);
        assert!(text.lines().nth(1).unwrap().contains("NOT VERIFIED") && text.matches("tls_insecure_skip_verify\n").count() == 2, "{text}");
        assert_eq!(spec.marks(), ["upstream not verified"]);
        let (text, spec) = of(&|_| ());
        assert!(!text.contains("tls_insecure") && spec.marks().is_empty());
        let jwt = Auth::Jwt {
            verifier: "https://auth.prox.local:9091".parse().unwrap(),
            path: "/verify".parse().unwrap(),
            copy: vec!["Remote-User".parse().unwrap(), "Remote-Groups".parse().unwrap()],
        };
        let (text, _) = of(&|s| s.auth = jwt.clone());
        let stands = "route {\nrequest_header -Remote-User\nrequest_header -Remote-Groups\nforward_auth https://auth.prox.local:9091 {\nuri /verify\ncopy_headers Remote-User Remote-Groups\ntransport http {\ndial_timeout 3s\n}\n}\nrequest_header @unsaid-Remote-User -Remote-User\nrequest_header @unsaid-Remote-Groups -Remote-Groups\nreverse_proxy";
        assert!(text.contains(stands) && !text.contains("-Authorization"), "{text}");
        let now = Key { slot: Slot::B, hash: hash('n') };
        let both = Auth::Bearer { now, previous: Some((Key { slot: Slot::A, hash: hash('p') }, Stamp(5000))) };
        let (b, a) = (format!("b {}\n", hash('n')), format!("a {}\n", hash('p')));
        let swap = "request_header Authorization \"^(?i:Bearer) prox_([A-Za-z0-9+/]+)$\" \"Basic $1\"\n";
        let when = "@in-grace expression \"int({time.now.unix}) < 5\"\n@past-grace not expression \"int({time.now.unix}) < 5\"\n";
        let (text, _) = of(&|s| s.auth = both.clone());
        assert!(text.contains(when), "{text}");
        let stands = format!("{swap}basicauth @in-grace bcrypt cloud {{\n{b}{a}}}\nbasicauth @past-grace bcrypt cloud {{\n{b}}}\n");
        assert!(text.contains(&stands), "{text}");
        let alone = format!("{swap}basicauth bcrypt cloud {{\n{b}}}\n");
        assert!(of(&|s| s.auth = both.clone().as_of(Stamp(5000))).0.contains(&alone), "its time is over");
        let (text, _) = of(&|s| s.tls = Tls::Given { certificate: Label::new("home").unwrap() });
        assert!(text.contains("https://:30017 {\nLOG\ntls /etc/caddy/proximity-tls/home.crt /etc/caddy/proximity-tls/home.key\n"));
        let name = || Name::new("cloud.example.org").unwrap();
        let (text, _) = of(&|s| s.tls = Tls::Acme { name: name(), mail: Some("ada@example.org".parse().unwrap()) });
        assert!(text.contains("https://cloud.example.org:30017 {\nLOG\ntls ada@example.org {\non_demand\n}\n"), "{text}");
        assert!(of(&|s| s.tls = Tls::Acme { name: name(), mail: None }).0.contains("LOG\ntls {\non_demand\n}\n"));
    }

    #[test]
    fn what_cannot_be_together_is_refused() {
        let of = |to: &str, change: &dyn Fn(&mut Spec)| {
            let mut spec = Spec::to(to.parse().unwrap());
            change(&mut spec);
            spec.refusal().unwrap_or_default()
        };
        assert_eq!(of("web:80", &|_| ()), "");
        assert_eq!(of("https://web:80", &|s| s.proof = Proof::Skipped), "");
        assert_eq!(of("web:80", &|s| s.proof = Proof::Skipped), "http proves nothing: say https://");
        assert!(of("web:80", &|s| s.tls = Tls::Internal { names: vec![] }).contains("names"));
        for carry in [Carry::Tcp, Carry::Udp] {
            assert_eq!(of("web:80", &|s| s.carry = carry), "");
            assert!(of("https://web:80", &|s| s.carry = carry).contains("TLS"));
            assert!(of("web:80", &|s| (s.carry, s.auth) = (carry, basic())).contains("login"));
            assert!(of("web:80", &|s| (s.carry, s.health) = (carry, "/".parse().ok())).contains("path"));
            assert!(of("web:80", &|s| (s.carry, s.tls) = (carry, Tls::Given { certificate: Label::new("x").unwrap() })).contains("TLS"));
        }
    }

    /// What the store remembered before there was more than the first fields is read as it was, and written as it was.
    #[test]
    fn what_was_remembered_before_is_read() {
        let old = r#"{"to":"http://web.prox.local:80","carry":"http","proof":"own"}"#;
        let spec: Spec = serde_json::from_str(old).unwrap();
        assert_eq!(
            (serde_json::to_string(&spec).unwrap(), &spec),
            (old.to_owned(), &Spec::to("http://web.prox.local:80".parse().unwrap()))
        );
        for bad in [r#"{"to":"web:80","health":"//x"}"#, r#"{"to":"web:80","auth":{"basic":{"user":"a b","hash":"x"}}}"#] {
            assert!(serde_json::from_str::<Spec>(bad).is_err());
        }
    }

    /// The same shape, with the plainest words.
    fn plain(spec: &Spec) -> Spec {
        let (to, path) = (|tls: bool| Upstream { tls, ..service("x", "x:1").spec.to }, || "/".parse::<UriPath>().unwrap());
        Spec {
            to: to(spec.to.tls),
            proof: if let Proof::Named(_) = spec.proof { Proof::Named(Name::new("x").unwrap()) } else { spec.proof.clone() },
            health: spec.health.as_ref().map(|_| path()),
            auth: match &spec.auth {
                Auth::Basic { .. } => basic(),
                Auth::Jwt { verifier, copy, .. } => {
                    Auth::Jwt { verifier: to(verifier.tls), path: path(), copy: copy.iter().map(|_| "x".parse().unwrap()).collect() }
                }
                other => other.clone(),
            },
            tls: match &spec.tls {
                Tls::Internal { names } => Tls::Internal { names: names.iter().map(|_| "x".parse().unwrap()).collect() },
                Tls::Given { .. } => Tls::Given { certificate: Label::new("x").unwrap() },
                Tls::Acme { mail, .. } => {
                    Tls::Acme { name: Name::new("x").unwrap(), mail: mail.as_ref().map(|_| "x@x.x".parse().unwrap()) }
                }
                Tls::Off => Tls::Off,
            },
            ..spec.clone()
        }
    }

    const HOSTILE: &str = "\\PC{0,20}|[-a-zA-Z0-9{}\"#\n]{1,9}|[-a-z.{}\"$\n]{1,9}|/[-a-z.{}\"$#?&\n ]{0,9}|[a-z{}]{1,4}@[a-z.{}]{1,9}";

    #[test]
    fn what_reads_runs_or_takes_in_is_denied() {
        for bad in [
            "http://:1 {\n\timport /etc/passwd\n}",
            "import ../x",
            "\troot * /",
            "file_server browse",
            "reverse_proxy {env.SECRET}",
            "respond {$HOME}",
            "respond {file./etc/shadow}",
            "reverse_proxy unix//run/docker.sock",
            "admin off",
            "exec rm",
            "respond `x`",
        ] {
            assert!(denied(bad).is_some(), "{bad}");
        }
        let admin = Service {
            spec: Spec { auth: Auth::Basic { user: "admin".parse().unwrap(), hash: hash('x') }, ..service("x", "x:1").spec },
            ..service("root", "x:1")
        };
        assert_eq!(denied(&site(&admin, &[])), None);
        assert_eq!(denied(&site(&service("root", "https://admin.prox.local:80"), &["10.0.0.0/8".parse().unwrap()])), None);
    }

    proptest! {
        /// Whatever somebody types: refused, or a file that differs from a plain one of the same shape in words alone.
        #[test]
        fn no_text_changes_the_shape_of_a_file(
            words in proptest::collection::vec(HOSTILE, 6),
            port in any::<u16>(),
            how in any::<[u8; 4]>(),
        ) {
            let [name, host, one, two, three, four] = words.as_slice() else { return Ok(()) };
            let scheme = if how[0] & 1 == 1 { "https://" } else { "" };
            let (Ok(name), Ok(to)) = (name.parse(), format!("{scheme}{host}:{port}").parse::<Upstream>()) else { return Ok(()) };
            let mut spec = Spec::to(to.clone());
            spec.proof = match how[0] >> 1 & 3 {
                0 => Proof::Own,
                1 => Proof::Skipped,
                _ => Name::new(one).map_or(Proof::Own, Proof::Named),
            };
            spec.health = two.parse().ok();
            spec.auth = match (how[1] & 3, three.parse::<Account>(), three.parse::<UriPath>()) {
                (1, Ok(user), _) => Auth::Basic { user, hash: hash('x') },
                (2, _, Ok(path)) => Auth::Jwt { verifier: to, path, copy: one.parse().ok().into_iter().collect() },
                _ => Auth::None,
            };
            spec.tls = match (how[2] & 3, four.parse::<UpHost>(), Label::new(four), Name::new(four)) {
                (1, Ok(name), ..) => Tls::Internal { names: vec![name] },
                (2, _, Some(certificate), _) => Tls::Given { certificate },
                (3, .., Some(name)) => Tls::Acme { name, mail: two.parse().ok() },
                _ => Tls::Off,
            };
            let like = site(&Service { spec: plain(&spec), ..service("x", "x:1") }, &[]);
            let marked = 1 + usize::from(spec.proof == Proof::Skipped);
            let text = site(&Service { name, pair: Pair { public: 1, internal: 2 }, spec }, &[]);
            let words = |text: &str| text.lines().map(|l| l.split(' ').count()).collect::<Vec<_>>();
            prop_assert_eq!(words(&text), words(&like));
            prop_assert_eq!(text.matches(['{', '}']).count(), like.matches(['{', '}']).count());
            let inner = |c: char| c.is_ascii_alphanumeric() || " \t\n-_.:/{}@#,[]$?&=~+!\"^".contains(c);
            prop_assert!(text.chars().all(inner), "{}", text);
            prop_assert_eq!(text.matches('#').count(), marked);
            prop_assert_eq!(denied(&text), None);
        }
    }
}
