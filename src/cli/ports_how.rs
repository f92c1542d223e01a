//! How something is published, as options: read into a [`Spec`]. What was protected before is not laid open by saying nothing.

use std::io::Write;

use clap::{Args, ValueEnum};
use ipnet::IpNet;

use super::secrets;
use crate::domain::appliance::names::{Label, Name};
use crate::domain::service::{Account, Auth, COST, Carry, GRACE, Hash, HeaderName, Mail, Proof, Spec, Tls, UpHost, Upstream, UriPath};
use crate::domain::settings::span;
use crate::domain::stamp::Stamp;
use crate::problem::{Kind, Problem};
use crate::store::random;

/// How it is to be.
#[derive(Args)]
pub(super) struct How {
    /// What answers: HOST:PORT, http://HOST:PORT or https://HOST:PORT; a host without a dot is an app
    #[arg(long, value_name = "UPSTREAM")]
    to: Upstream,
    /// What is carried: HTTP by Caddy, tcp and udp by the appliance's rules, to an address that stays
    #[arg(long, value_enum, default_value = "http")]
    protocol: Protocol,
    /// The name that the certificate of an https upstream is for, where it is not the one it is asked by
    #[arg(long, value_name = "NAME", value_parser = name, conflicts_with = "insecure_upstream")]
    upstream_name: Option<Name>,
    /// Believe whoever answers as an https upstream
    #[arg(long)]
    insecure_upstream: bool,
    /// Who may use the internal port, instead of ports.trusted: networks, or default
    #[arg(long, value_name = "NETS")]
    sources: Option<Sources>,
    /// A path that Caddy asks every half minute: without an answer nothing is sent there
    #[arg(long, value_name = "PATH")]
    health: Option<UriPath>,
    /// TLS to visitors
    #[arg(long, value_enum)]
    tls: Option<TlsWord>,
    /// With --tls internal or acme: the names by which visitors ask
    #[arg(long, value_name = "NAME", value_delimiter = ',', requires = "tls")]
    tls_name: Vec<UpHost>,
    /// With --tls given: NAME.crt and NAME.key in /etc/caddy/proximity-tls of the appliance
    #[arg(long, value_name = "NAME", value_parser = label, requires = "tls")]
    certificate: Option<Label>,
    /// With --tls acme: whom the authority writes to
    #[arg(long, requires = "tls")]
    mail: Option<Mail>,
    /// Who may come in
    #[arg(long, value_enum)]
    auth: Option<AuthWord>,
    /// With --auth basic: the name; its password is asked for
    #[arg(long, value_name = "NAME", requires = "auth")]
    user: Option<Account>,
    /// Descriptor to read that password from
    #[arg(long, value_name = "N", requires = "auth")]
    password_fd: Option<i32>,
    /// With --auth bearer: make a new token, and take the one before for a while more
    #[arg(long, requires = "auth")]
    rotate: bool,
    /// How long the token before is taken: 36h, 2d; 0: not any more
    #[arg(long, value_name = "SPAN", default_value = GRACE, value_parser = grace)]
    grace: u64,
    /// With --auth jwt: who is asked about each request; whatever is no 2xx is a no
    #[arg(long, value_name = "UPSTREAM", requires = "auth")]
    verifier: Option<Upstream>,
    /// What it is asked for
    #[arg(long, value_name = "PATH", requires = "auth")]
    verify_path: Option<UriPath>,
    /// Headers of its answer that the app is told
    #[arg(long, value_name = "HEADER", value_delimiter = ',', requires = "auth")]
    copy_header: Vec<HeaderName>,
}

/// What is carried.
#[derive(Clone, Copy, ValueEnum)]
enum Protocol {
    Http,
    Tcp,
    Udp,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum TlsWord {
    /// None
    Off,
    /// By the appliance's own authority
    Internal,
    /// By a certificate that lies in the appliance
    Given,
    /// By a certificate of a public authority, which asks the appliance at port 80 or 443
    Acme,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum AuthWord {
    /// Everybody
    None,
    /// Who knows a name and its password
    Basic,
    /// Who has a token; it is shown once
    Bearer,
    /// Whom a verifier lets in
    Jwt,
}

fn name(text: &str) -> Result<Name, String> {
    Name::new(text).ok_or_else(|| "it is no DNS name".to_owned())
}

fn label(text: &str) -> Result<Label, String> {
    Label::new(text).ok_or_else(|| "letters, digits and dashes within, 63 at most".to_owned())
}

/// Networks; none where those of the settings are meant.
#[derive(Clone)]
struct Sources(Option<Vec<IpNet>>);

impl std::str::FromStr for Sources {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "default" {
            return Ok(Sources(None));
        }
        let one = |part: &str| {
            let net = part.parse::<IpNet>().or_else(|_| part.parse::<std::net::IpAddr>().map(IpNet::from));
            net.map(|net| net.trunc()).map_err(|_| "networks such as 192.168.1.0/24, parted by commas; or default".to_owned())
        };
        let mut all = text.split(',').map(|part| one(part.trim())).collect::<Result<Vec<_>, _>>()?;
        all.sort();
        all.dedup();
        Ok(Sources(Some(all)))
    }
}

/// A token that nobody saw yet.
pub(super) struct Token(String);

impl Token {
    /// Shows it, once.
    pub(super) fn show(self, of: &dyn std::fmt::Display) {
        let mut err = std::io::stderr();
        let _ = writeln!(err, "the token of {of}, shown now and never again:");
        let _ = writeln!(err, "{}", self.0);
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.0);
    }
}

fn usage(what: &str, why: impl Into<String>, hint: &str) -> Problem {
    Problem::new(Kind::Usage, what, why, hint)
}

impl How {
    /// Whether what is remembered now is taken over in part: then it must be known that nobody changed it.
    pub(super) fn goes_on_from(&self) -> bool {
        self.auth == Some(AuthWord::Bearer)
    }

    /// What is to be remembered; and a token, where one was made. `before` is what is remembered now: who says nothing of its
    /// login, its TLS or its sources is asked to.
    pub(super) fn spec(self, before: Option<&Spec>, domain: &Name, now: Stamp) -> Result<(Spec, Option<Token>), Problem> {
        let carry = match self.protocol {
            Protocol::Http => Carry::Http,
            Protocol::Tcp => Carry::Tcp,
            Protocol::Udp => Carry::Udp,
        };
        let plain = Spec::to(self.to.clone());
        let was = before.unwrap_or(&plain);
        let lost = |is: bool, what: &str, option: &str| {
            is.then(|| {
                usage(option, format!("it has {what} now, and nothing is said of it"), &format!("say it again, or take it away: {option}"))
            })
        };
        let silent = lost(self.auth.is_none() && was.auth != Auth::None, &format!("a login ({})", was.auth.word()), "--auth none")
            .or(lost(self.tls.is_none() && was.tls != Tls::Off, &format!("TLS to visitors ({})", was.tls.word()), "--tls off"))
            .or(lost(self.sources.is_none() && was.sources.is_some(), "sources of its own", "--sources default"));
        if let Some(silent) = silent {
            return Err(silent);
        }
        let proof = match (self.insecure_upstream, &self.upstream_name) {
            (true, _) => Proof::Skipped,
            (false, Some(name)) => Proof::Named(name.clone()),
            (false, None) => Proof::Own,
        };
        let tls = self.tls()?;
        let (auth, token) = self.auth(&was.auth, now)?;
        let spec = Spec { to: self.to, carry, proof, sources: self.sources.and_then(|s| s.0), health: self.health, auth, tls };
        let spec = spec.within(domain).as_of(now);
        match spec.refusal() {
            Some(why) => Err(usage("how it is to be published", why, "see proximity manual ports")),
            None => Ok((spec, token)),
        }
    }

    fn tls(&self) -> Result<Tls, Problem> {
        let needs = |why: &str, hint: &str| Err(usage("--tls", why, hint));
        let tls = match (self.tls, self.tls_name.as_slice()) {
            (None, _) => Tls::Off,
            (Some(TlsWord::Off), []) => Tls::Off,
            // Without a name in the handshake Caddy 2.6 makes no certificate when it is asked for one.
            (Some(TlsWord::Internal), all) if all.iter().any(|n| matches!(n, UpHost::Address(_))) => {
                return needs("visitors ask by a name, not by an address", "--tls-name cloud.home");
            }
            (Some(TlsWord::Internal), [_, ..]) => Tls::Internal { names: self.tls_name.clone() },
            (Some(TlsWord::Given), []) => match &self.certificate {
                Some(certificate) => Tls::Given { certificate: certificate.clone() },
                None => return needs("which certificate is not said", "--certificate NAME"),
            },
            (Some(TlsWord::Acme), [UpHost::Name(name)]) => Tls::Acme { name: name.clone(), mail: self.mail.clone() },
            (Some(TlsWord::Internal), []) => return needs("for which names is not said", "--tls-name NAME,NAME"),
            (Some(TlsWord::Acme), _) => return needs("a public authority certifies one name", "--tls-name cloud.example.org"),
            (Some(TlsWord::Off | TlsWord::Given), _) => return needs("it has no names of its own", "leave --tls-name out"),
        };
        let alone = |is: bool, word: TlsWord, option: &str| {
            (is && self.tls != Some(word)).then(|| usage(option, "it belongs to another kind of --tls", "leave it out"))
        };
        match alone(self.certificate.is_some(), TlsWord::Given, "--certificate").or(alone(self.mail.is_some(), TlsWord::Acme, "--mail")) {
            Some(no) => Err(no),
            None => Ok(tls),
        }
    }

    fn auth(&self, before: &Auth, now: Stamp) -> Result<(Auth, Option<Token>), Problem> {
        let alone = |is: bool, word: AuthWord, option: &str| {
            (is && self.auth != Some(word)).then(|| usage(option, "it belongs to another kind of --auth", "leave it out"))
        };
        let odd = alone(self.user.is_some(), AuthWord::Basic, "--user")
            .or(alone(self.password_fd.is_some(), AuthWord::Basic, "--password-fd"))
            .or(alone(self.rotate, AuthWord::Bearer, "--rotate"))
            .or(alone(self.verifier.is_some(), AuthWord::Jwt, "--verifier"))
            .or(alone(self.verify_path.is_some(), AuthWord::Jwt, "--verify-path"))
            .or(alone(!self.copy_header.is_empty(), AuthWord::Jwt, "--copy-header"));
        if let Some(no) = odd {
            return Err(no);
        }
        let hashed = |why: String| usage("the password", why, "choose another one");
        Ok(match self.auth {
            None | Some(AuthWord::None) => (Auth::None, None),
            Some(AuthWord::Basic) => {
                let Some(user) = self.user.clone() else { return Err(usage("--auth basic", "whose password is not said", "--user NAME")) };
                let password = secrets::passphrase(self.password_fd, &format!("password for {user}"))?;
                if password.len() < 8 {
                    return Err(hashed("it has less than 8 bytes".into()));
                }
                if self.password_fd.is_none() {
                    secrets::same_again(&password)?;
                }
                (Auth::Basic { user, hash: Hash::of(password.expose(), random()?, COST).map_err(hashed)? }, None)
            }
            Some(AuthWord::Bearer) if matches!(before, Auth::Bearer { .. }) && !self.rotate => (before.clone(), None),
            Some(AuthWord::Bearer) => {
                let until = Stamp(now.0.saturating_add(i64::try_from(self.grace).unwrap_or_default() * 1000));
                let mut bytes: [u8; 32] = random()?;
                let made = before.rotated(&bytes, random()?, now, until).map_err(hashed);
                zeroize::Zeroize::zeroize(&mut bytes);
                let (token, auth) = made?;
                (auth, Some(Token(token)))
            }
            Some(AuthWord::Jwt) => match (self.verifier.clone(), self.verify_path.clone()) {
                (Some(verifier), Some(path)) => (Auth::Jwt { verifier, path, copy: self.copy_header.clone() }, None),
                _ => {
                    return Err(usage(
                        "--auth jwt",
                        "who is asked, and for what, is not said",
                        "--verifier auth:9091 --verify-path /verify",
                    ));
                }
            },
        })
    }
}

/// A span, as settings have them; a year at most.
fn grace(text: &str) -> Result<u64, String> {
    match span(text) {
        Some(secs) if secs <= 31_536_000 => Ok(secs),
        Some(_) => Err("at most a year".into()),
        None => Err("none of 0, 90s, 15m, 36h, 7d".into()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        how: How,
    }

    /// The specification, or the first line of what is said instead.
    fn of(words: &str, before: Option<&Spec>) -> Result<(Spec, Option<Token>), String> {
        let line = Line::try_parse_from(std::iter::once("x").chain(words.split_whitespace()));
        let how = line.map_err(|e| e.to_string().lines().next().unwrap().to_owned())?.how;
        how.spec(before, &Name::new("prox.local").unwrap(), Stamp(1000)).map_err(|p| p.why)
    }

    fn spec(words: &str) -> Spec {
        of(words, None).map_err(|why| format!("{words}: {why}")).unwrap().0
    }

    #[test]
    fn options_say_how() {
        let plain = spec("--to web:80");
        assert_eq!(plain, Spec::to("http://web.prox.local:80".parse().unwrap()));
        let all = spec(
            "--to https://web:443 --upstream-name cloud.internal --sources 10.9.1.2/16,192.168.1.7,10.9.0.0/16 --health /healthz \
             --tls internal --tls-name cloud.home,cloud.lan --auth jwt --verifier auth:9091 --verify-path /verify --copy-header X-User",
        );
        let json = serde_json::to_string(&all).unwrap();
        assert_eq!(
            json,
            r#"{"to":"https://web.prox.local:443","carry":"http","proof":{"named":"cloud.internal"},"sources":["10.9.0.0/16","192.168.1.7/32"],"health":"/healthz","auth":{"jwt":{"verifier":"http://auth.prox.local:9091","path":"/verify","copy":["X-User"]}},"tls":{"internal":{"names":["cloud.home","cloud.lan"]}}}"#
        );
        assert_eq!(spec("--to https://web:443 --insecure-upstream").marks(), ["upstream not verified"]);
        let udp = spec("--to wiki:53 --protocol udp --sources 0.0.0.0/0");
        assert_eq!((udp.carry, udp.sources.unwrap().len()), (Carry::Udp, 1));
        assert_eq!(spec("--to web:80 --tls acme --tls-name cloud.example.org --mail ada@example.org").scheme(), "https");
        assert!(matches!(spec("--to web:80 --tls given --certificate home").tls, Tls::Given { .. }));
    }

    #[test]
    fn what_was_protected_is_not_laid_open_by_saying_nothing() {
        let before =
            spec("--to web:80 --health /up --sources 10.0.0.0/8 --tls given --certificate home --auth jwt --verifier a:1 --verify-path /v");
        let again = |words: &str| of(words, Some(&before)).map(|(spec, _)| spec);
        let all = ["--to web:80", "--auth none", "--tls off", "--sources default"];
        for (said, why) in ["login (jwt)", "TLS to visitors (given)", "sources of its own"].iter().enumerate() {
            assert!(again(&all[..=said].join(" ")).unwrap_err().contains(why));
        }
        assert_eq!(again(&all.join(" ")).unwrap(), spec("--to web:80"));
        assert!(again("--to web:80 --protocol tcp").is_err(), "nor by another protocol");
        // The proof goes with the place.
        let unproven = spec("--to https://web:443 --insecure-upstream");
        assert_eq!(of("--to https://web:443", Some(&unproven)).unwrap().0.proof, Proof::Own);
    }

    #[test]
    fn a_token_is_shown_once_and_replaced_when_that_is_asked_for() {
        let (first, token) = of("--to web:80 --auth bearer", None).unwrap();
        let token = token.unwrap();
        assert!(token.0.starts_with("prox_") && !format!("{first:?}{}", serde_json::to_string(&first).unwrap()).contains(&token.0[5..]));
        let (same, none) = of("--to web:80 --auth bearer", Some(&first)).unwrap();
        assert!(same == first && none.is_none());
        let (second, other) = of("--to web:80 --auth bearer --rotate --grace 2d", Some(&first)).unwrap();
        assert_ne!(other.unwrap().0, token.0);
        assert!(matches!(&second.auth, Auth::Bearer { previous: Some((_, Stamp(until))), .. } if *until == 1000 + 2 * 86_400_000));
        let (_, other) = of("--to web:80 --auth bearer --rotate --grace 0", Some(&first)).unwrap();
        assert!(other.is_some());
        let as_of = |now| second.clone().as_of(Stamp(now)) == second;
        assert!(as_of(1000) && !as_of(i64::MAX));
    }

    #[test]
    fn what_is_odd_or_hostile_is_refused() {
        for (words, why) in [
            ("", "required"),
            ("--to web", "none of HOST:PORT"),
            ("--to web:80 --insecure-upstream", "http proves nothing"),
            ("--to https://web:80 --insecure-upstream --upstream-name a.b", "cannot be used with"),
            ("--to https://web:80 --upstream-name {$HOME}", "no DNS name"),
            ("--to web:80 --sources 10.0.0.0/8,evil", "networks such as"),
            ("--to web:80 --sources }", "networks such as"),
            ("--to web:80 --health //evil", "is no path"),
            ("--to web:80 --health /{env.HOME}", "is no path"),
            ("--to web:80 --tls internal", "which names"),
            ("--to web:80 --tls internal --tls-name a{b", "is no name and no address"),
            ("--to web:80 --tls off --tls-name a.b", "no names of its own"),
            ("--to web:80 --tls acme --tls-name 10.0.0.1", "one name"),
            ("--to web:80 --tls acme --tls-name a.b,c.d", "one name"),
            ("--to web:80 --tls acme --tls-name a.b --mail x{y}@b.c", "no mail address"),
            ("--to web:80 --tls given", "which certificate"),
            ("--to web:80 --tls given --certificate ../../etc/shadow", "letters, digits"),
            ("--to web:80 --tls off --certificate home", "another kind"),
            ("--to web:80 --auth basic", "whose password"),
            ("--to web:80 --auth basic --user a{b}", "is no account"),
            ("--to web:80 --auth none --user ada", "another kind"),
            ("--to web:80 --user ada", "required"),
            ("--to web:80 --auth basic --user ada --rotate", "another kind"),
            ("--to web:80 --auth jwt --verifier a:1", "for what"),
            ("--to web:80 --auth jwt --verifier a:1 --verify-path /v --copy-header Host", "no header"),
            ("--to web:80 --auth bearer --grace 400d", "at most a year"),
            ("--to web:80 --protocol tcp --auth bearer", "no login"),
            ("--to web:80 --protocol udp --health /", "no path"),
            ("--to web:80 --protocol tcp --tls internal --tls-name a.b", "no TLS of ours"),
            ("--to https://web:80 --protocol tcp", "TLS of ours to the upstream"),
        ] {
            let said = of(words, None).err().unwrap_or_default();
            assert!(said.contains(why), "{words}: '{said}' without '{why}'");
        }
    }
}
