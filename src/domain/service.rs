//! A published thing: its name, its two ports, what it leads to. Only typed values; no text of anybody gets further than here.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::appliance::names::{Label, Name};
use super::clean::clean;
use super::ports::{Pair, ServiceName};
use super::stamp::Stamp;

mod auth;
mod typed;

pub use auth::{Auth, COST, GRACE, Key, PREFIX, Slot, TOKEN_COST};
pub use typed::{Account, Hash, HeaderName, Mail, UriPath};

/// Something that answers on a pair of ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its name; of its file, too.
    pub name: ServiceName,
    /// Its ports.
    pub pair: Pair,
    /// What is published, and how.
    pub spec: Spec,
}

/// What somebody wants to be published: everything but its name and its ports. As JSON it is what the store remembers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// Who answers in the end.
    pub to: Upstream,
    /// What is carried to it.
    #[serde(default)]
    pub carry: Carry,
    /// How it proves who it is, where it is asked by TLS.
    #[serde(default)]
    pub proof: Proof,
    /// Who may use the internal port; where it is not said, whoever the settings trust.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sources: Option<Vec<IpNet>>,
    /// What is asked of it every half minute, so that nothing is sent to it while it does not answer that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<UriPath>,
    /// Who may come in.
    #[serde(default, skip_serializing_if = "is_default")]
    pub auth: Auth,
    /// TLS to whoever comes.
    #[serde(default, skip_serializing_if = "is_default")]
    pub tls: Tls,
}

fn is_default<T: Default + PartialEq>(it: &T) -> bool {
    *it == T::default()
}

impl Spec {
    /// The plainest: HTTP to this place.
    pub fn to(to: Upstream) -> Spec {
        Spec {
            to,
            carry: Carry::default(),
            proof: Proof::default(),
            sources: None,
            health: None,
            auth: Auth::default(),
            tls: Tls::default(),
        }
    }

    /// The same, with names of one part as those of apps.
    pub fn within(self, domain: &Name) -> Spec {
        Spec { to: self.to.within(domain), auth: self.auth.within(domain), ..self }
    }

    /// The same, without what was to be only until now.
    pub fn as_of(self, now: Stamp) -> Spec {
        Spec { auth: self.auth.as_of(now), ..self }
    }

    /// What is to be said wherever it is shown: one or a few words each.
    pub fn marks(&self) -> Vec<String> {
        let unproven = self.to.tls && self.proof == Proof::Skipped;
        unproven.then(|| "upstream not verified".to_owned()).into_iter().collect()
    }

    /// How a visitor asks: `https` where there is TLS to him, else what is carried.
    pub fn scheme(&self) -> &'static str {
        match (self.carry, &self.tls) {
            (Carry::Http, Tls::Off) | (Carry::Tcp | Carry::Udp, _) => self.carry.word(),
            (Carry::Http, _) => "https",
        }
    }

    /// What cannot be together, and what to do; nothing where all can.
    pub fn refusal(&self) -> Option<String> {
        let by_rules = self.carry != Carry::Http;
        let word = self.carry.word();
        let no = |is: bool, what: &str| (by_rules && is).then(|| format!("{word} is carried as it comes: it has no {what}"));
        let named = |names: &[UpHost]| names.is_empty().then(|| "a certificate is for names: say those that visitors use".to_owned());
        no(self.to.tls || self.proof != Proof::Own, "TLS of ours to the upstream")
            .or_else(|| no(self.auth != Auth::None, "login"))
            .or_else(|| no(self.tls != Tls::Off, "TLS of ours"))
            .or_else(|| no(self.health.is_some(), "path that could be asked"))
            .or_else(|| (!by_rules && !self.to.tls && self.proof != Proof::Own).then(|| "http proves nothing: say https://".to_owned()))
            .or_else(|| if let Tls::Internal { names } = &self.tls { named(names) } else { None })
    }
}

/// TLS to whoever comes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tls {
    /// None.
    #[default]
    Off,
    /// By the appliance's own authority, which a visitor must be told to trust.
    Internal {
        /// Names and addresses by which visitors ask. For these alone it has certificates, and requests for others get
        /// nothing.
        names: Vec<UpHost>,
    },
    /// By a certificate that an operator put there: `NAME.crt` and `NAME.key` in [`CERTIFICATES`](super::caddy::CERTIFICATES).
    Given {
        /// NAME.
        certificate: Label,
    },
    /// By a certificate that a public authority gives out for a name that leads here (RFC 8555).
    Acme {
        /// The name.
        name: Name,
        /// Whom the authority writes to.
        #[serde(default)]
        mail: Option<Mail>,
    },
}

impl Tls {
    /// The word on the command line and in JSON.
    pub fn word(&self) -> &'static str {
        match self {
            Tls::Off => "off",
            Tls::Internal { .. } => "internal",
            Tls::Given { .. } => "given",
            Tls::Acme { .. } => "acme",
        }
    }

    /// By which name a visitor asks for it, where that is said: the first that is one. A given certificate says it itself. Fails where
    /// there are addresses alone: for one Caddy shows a certificate only to those who came to that very address.
    pub fn asked_by(&self) -> Result<Option<String>, &'static str> {
        match self {
            Tls::Off | Tls::Given { .. } => Ok(None),
            Tls::Internal { names } => match names.iter().find(|n| matches!(n, UpHost::Name(_))) {
                Some(name) => Ok(Some(name.to_string())),
                None => Err("its certificate is for addresses alone"),
            },
            Tls::Acme { name, .. } => Ok(Some(name.to_string())),
        }
    }
}

/// What is carried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Carry {
    /// HTTP, by Caddy.
    #[default]
    Http,
    /// Connections, by the appliance's rules.
    Tcp,
    /// Datagrams, by the appliance's rules.
    Udp,
}

impl Carry {
    /// The word on the screen, on the command line and in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Carry::Http => "http",
            Carry::Tcp => "tcp",
            Carry::Udp => "udp",
        }
    }
}

/// How an upstream that is asked by TLS proves who it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Proof {
    /// By a certificate of an authority that the appliance knows, for the name it is asked by.
    #[default]
    Own,
    /// The same, for this name.
    Named(Name),
    /// Not at all: whoever stands there is believed. Said wherever it is shown.
    Skipped,
}

/// A published thing as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Its name; it holds its ports under the same.
    pub name: ServiceName,
    /// What, and how.
    pub spec: Spec,
    /// Since when it is so.
    pub at: Stamp,
    /// Who wanted it so.
    pub by: String,
}

/// Where requests go: `http://nextcloud.prox.local:8080`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Upstream {
    /// By TLS; see [`Proof`].
    pub tls: bool,
    /// Who.
    pub host: UpHost,
    /// Its port.
    pub port: u16,
}

/// Who answers behind a service, or is asked by a visitor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum UpHost {
    /// A name, asked for again and again, so that it follows its guest.
    Name(Name),
    /// An address.
    Address(IpAddr),
}

impl Upstream {
    /// The same, with a name of one part as that of an app: NAME.DOMAIN.
    pub fn within(self, domain: &Name) -> Upstream {
        let host = match self.host {
            UpHost::Name(name) if !name.to_string().contains('.') => UpHost::Name(Name::new(&format!("{name}.{domain}")).unwrap_or(name)),
            other => other,
        };
        Upstream { host, ..self }
    }
}

impl FromStr for Upstream {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let no = || {
            let shown: String = text.chars().take(80).collect();
            format!("'{}' is none of HOST:PORT, http://HOST:PORT, https://HOST:PORT", clean(&shown))
        };
        let (tls, rest) = match text.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            Some(_) => return Err(no()),
            None => (false, text),
        };
        let (host, port) = rest.rsplit_once(':').ok_or_else(no)?;
        // Digits only: a sign would be read, too.
        let port = Some(port).filter(|p| p.bytes().all(|b| b.is_ascii_digit())).and_then(|p| p.parse().ok()).filter(|p| *p > 0);
        let host = host.parse().map_err(|_| no())?;
        Ok(Upstream { tls, host, port: port.ok_or_else(no)? })
    }
}

impl TryFrom<String> for Upstream {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Upstream> for String {
    fn from(to: Upstream) -> String {
        to.to_string()
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.tls { "https://" } else { "http://" })?;
        write!(f, "{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn upstreams_are_names_addresses_and_a_port() {
        let domain = Name::new("prox.local").unwrap();
        for (text, is) in [
            ("web:80", "http://web.prox.local:80"),
            ("http://Web.Example.org:8080", "http://web.example.org:8080"),
            ("https://10.20.0.9:443", "https://10.20.0.9:443"),
            ("[fd00::1]:80", "http://[fd00::1]:80"),
        ] {
            assert_eq!(text.parse::<Upstream>().unwrap().within(&domain).to_string(), is);
        }
        let long = format!("{}:80", "a".repeat(300));
        for no in [
            "",
            "web",
            "web:",
            ":80",
            "web:0",
            "web:65536",
            "web:+80",
            "web: 80",
            "ftp://web:80",
            "http://web:80/",
            "http://a@web:80",
            "fd00::1:80",
            "[web]:80",
            "[::1%eth0]:80",
            "10.20.0.300:80",
            "10.20.9:80",
            "0x7f.1:80",
            "we b:80",
            "web\n:80",
            "web}:80",
            "{env.HOME}:80",
            "{$HOME}:80",
            "web\":80",
            "web#:80",
            "unix//run/x:80",
            "web:80 {",
            "wéb:80",
            &long,
        ] {
            assert!(no.parse::<Upstream>().is_err(), "{no}");
        }
    }
}
