//! The file of one published thing for Caddy. The same bytes for the same thing, from typed values only: names, numbers and
//! networks, none of which can hold a character that means something in a Caddyfile.

use ipnet::IpNet;

use super::appliance::desired::FORMAT;
use super::appliance::files::CURRENT;
use super::appliance::names::Name;
use super::clean::clean;
use super::service::Service;
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

/// The file: one site for everybody, with all headers; one that may stand in a frame, for these networks and the appliance
/// itself. `X-Forwarded-For`, `-Proto` and `-Host` are set by Caddy, which believes no client about them.
pub fn site(service: &Service, trusted: &[IpNet]) -> String {
    let Service { name, pair, spec } = service;
    let to = &spec.to;
    let path = path(service);
    let networks: String = trusted.iter().map(|net| format!(" {net}")).collect();
    let strip: String = FRAMES.iter().map(|header| format!("\t\theader_down -{header}\n")).collect();
    let forwarded = |port: u16| format!("\t\theader_up X-Forwarded-Port {port}\n");
    format!(
        "# Made by Proximity, format {FORMAT}, for {name}: {path}\n\
         http://:{public} {{\n\
         \timport access\n\
         \treverse_proxy {to} {{\n{public_port}\t}}\n\
         }}\n\
         http://:{internal} {{\n\
         \timport access\n\
         \t@stranger not remote_ip 127.0.0.1 ::1{networks}\n\
         \trespond @stranger 403\n\
         \treverse_proxy {to} {{\n{internal_port}{strip}\t}}\n\
         }}\n",
        public = pair.public,
        internal = pair.internal,
        public_port = forwarded(pair.public),
        internal_port = forwarded(pair.internal),
    )
}

/// What a text says that no site may say: whatever reads files or the environment, runs a program, takes in other files or
/// reaches the administration. The first of it, as it stands there; `None` where there is none (TRUST T23).
pub fn denied(text: &str) -> Option<String> {
    const WORDS: [&str; 14] = [
        "exec", "root", "file_server", "templates", "php_fastcgi", "storage", "admin", "acme_server", "events", "on_demand_tls", "browse",
        "unix", "invoke", "metrics",
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
    use crate::domain::ports::Pair;
    use crate::domain::service::Spec;

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
\timport access
\treverse_proxy http://nextcloud.prox.local:80 {
\t\theader_up X-Forwarded-Port 30017
\t}
}
http://:40017 {
\timport access
\t@stranger not remote_ip 127.0.0.1 ::1 192.168.1.0/24 fd00::/8
\trespond @stranger 403
\treverse_proxy http://nextcloud.prox.local:80 {
\t\theader_up X-Forwarded-Port 40017
\t\theader_down -X-Frame-Options
\t\theader_down -Content-Security-Policy
\t\theader_down -Content-Security-Policy-Report-Only
\t\theader_down -X-Content-Security-Policy
\t\theader_down -X-WebKit-CSP
\t}
}
"
        );
        assert_eq!(crate::domain::appliance::files::made_by_us(&text), Some(FORMAT));
    }

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
        assert_eq!(denied(&site(&service("root", "https://admin.prox.local:80"), &["10.0.0.0/8".parse().unwrap()])), None);
    }

    proptest! {
        /// Whatever name and place somebody types: refused, or a file that differs from the one above in words alone.
        #[test]
        fn no_text_changes_the_shape_of_a_file(name in "\\PC{0,20}|[-a-zA-Z0-9{}\"#\n]{1,9}", host in "\\PC{0,20}|[-a-z.{}\"$\n]{1,9}", port in any::<u16>()) {
            let (Ok(name), Ok(to)) = (name.parse(), format!("{host}:{port}").parse()) else { return Ok(()) };
            let text = site(&Service { name, pair: Pair { public: 1, internal: 2 }, spec: Spec::to(to) }, &[]);
            let like = site(&service("x", "x:1"), &[]);
            let words = |text: &str| text.lines().map(|l| l.split(' ').count()).collect::<Vec<_>>();
            prop_assert_eq!(words(&text), words(&like));
            prop_assert_eq!(text.matches(['{', '}']).count(), like.matches(['{', '}']).count());
            let inner = |c: char| c.is_ascii_alphanumeric() || " \t\n-_.:/{}@#,[]".contains(c);
            prop_assert!(text.chars().all(inner), "{}", text);
            prop_assert_eq!(text.matches('#').count(), 1);
            prop_assert_eq!(denied(&text), None);
        }
    }
}
