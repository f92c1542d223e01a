//! All certificates of a real Caddy, of operators and of a node, beside what openssl says of the same files.

use serde_json::Value;

use crate::appliance::{appliance_lab, apps, converge, nothing};
use crate::harness::{Lab, skip};

const TLS: &str = "/etc/caddy/proximity-tls";

fn done(lab: &Lab, words: &str) {
    let said = lab.exec("pve1", &["bash", "-c", &format!("proximity ports {words} --yes --passphrase-fd 3 3</root/pw")]);
    assert_eq!(said.rc, 0, "{words}: {said:?}");
}

fn look(lab: &Lab) -> (i32, Value) {
    let said = lab.exec("pve1", &["proximity", "-o", "json", "ports", "certificates"]);
    let told = serde_json::from_str(&said.out).unwrap_or_else(|e| panic!("{e}: {said:?}"));
    (said.rc, told)
}

/// The item at a place.
fn at<'a>(told: &'a Value, place: &str) -> &'a Value {
    let all = told["items"].as_array().unwrap();
    all.iter().find(|i| i["where"] == place).unwrap_or_else(|| panic!("no {place} in {told:#}"))
}

fn wrong(item: &Value) -> Vec<&str> {
    item["wrong"].as_array().unwrap().iter().map(|w| w["says"].as_str().unwrap()).collect()
}

/// Makes certificates with openssl on the node: a script in a folder of its own.
fn make(lab: &Lab, script: &str) {
    lab.sh(&format!("mkdir -p /root/ca; cd /root/ca; set -e; {script}"));
}

/// Puts files of that folder where operators put theirs, under another name.
fn put(lab: &Lab, name: &str, crt: &str, key: &str) {
    for (ending, files) in [("crt", crt), ("key", key)] {
        lab.sh(&format!("cd /root/ca; cat {files} | pct exec 9999 -- tee {TLS}/{name}.{ending} >/dev/null"));
    }
    lab.guest(9999, &format!("chown caddy {TLS}/{name}.*; chmod 600 {TLS}/{name}.key"));
}

/// What openssl says of each certificate of a list is what was told, and whether the key fits, too.
fn as_openssl_says(lab: &Lab, told: &Value) -> usize {
    let mut compared = 0;
    for item in told["items"].as_array().unwrap() {
        let path = item["where"].as_str().unwrap();
        let inside = if path.starts_with("/etc/pve") { "" } else { "pct exec 9999 -- " };
        if !path.starts_with('/') {
            continue;
        }
        lab.sh(&format!("{inside}cat {path} >/tmp/crt; cd /tmp; rm -f one-*; csplit -sz -f one- crt '/-BEGIN CERT/' '{{*}}'"));
        for (nth, one) in item["chain"].as_array().unwrap().iter().enumerate() {
            let openssl = lab.sh(&format!(
                "openssl x509 -in /tmp/one-{nth:02} -noout -startdate -enddate -dateopt iso_8601 -fingerprint -sha256 -nameopt multiline,utf8 -subject -issuer -ext subjectAltName 2>/dev/null"
            ));
            let openssl = openssl.replace("0:0:0:0:0:0:0:1", "::1");
            let has = |text: String| assert!(openssl.contains(&text), "{path} {nth}: no {text:?} in {openssl}");
            let time = |name: &str| one[name].as_str().unwrap().replace('T', " ");
            has(format!("notBefore={}", time("not_before")));
            has(format!("notAfter={}", time("not_after")));
            has(one["fingerprint"].as_str().unwrap().to_owned());
            for name in one["names"].as_array().unwrap() {
                has(format!(":{}", name.as_str().unwrap()));
            }
            let names = openssl.matches("DNS:").count() + openssl.matches("IP Address:").count();
            assert_eq!(one["names"].as_array().unwrap().len(), names, "{openssl}");
            let subject = one["subject"].as_str().unwrap();
            let first = subject.split(", ").next().unwrap();
            assert!(subject.is_empty() && !openssl.contains("commonName") || openssl.contains(first), "{subject} of {openssl}");
            compared += 1;
        }
        let key = path.replace(".crt", ".key").replace(".pem", ".key");
        let same = lab.sh(&format!(
            "a=$(openssl x509 -in /tmp/one-00 -noout -pubkey); b=$({inside}cat {key} 2>/dev/null | openssl pkey -passin pass:x -pubout 2>/dev/null); \
             [ -z \"$b\" ] && echo none || {{ [ \"$a\" = \"$b\" ] && echo matches || echo other; }}"
        ));
        match item["key"]["is"].as_str().unwrap() {
            is @ ("matches" | "other") => assert_eq!(is, same, "{path}"),
            "not-looked" => assert!(path.ends_with("root.crt") || path.ends_with("intermediate.crt") || path.ends_with("root-ca.pem")),
            _ => {}
        }
    }
    compared
}

#[test]
fn all_certificates_are_told_as_openssl_tells_them() {
    let Some(lab) = appliance_lab() else { return skip("no lab on this machine") };
    let lab = &lab;
    // A node as Proxmox makes one: RSA, signed by the cluster.
    make(
        lab,
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 3650 -subj '/CN=Proxmox Virtual Environment/O=PVE Cluster Manager CA' 2>/dev/null
         openssl req -newkey rsa:2048 -nodes -keyout node.key -out node.csr -subj '/OU=PVE Cluster Node/O=Proxmox Virtual Environment/CN=pve1.example.org' 2>/dev/null
         printf 'subjectAltName=IP:127.0.0.1,IP:::1,DNS:localhost,DNS:pve1' >ext
         openssl x509 -req -in node.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 730 -extfile ext -out node.pem 2>/dev/null
         mkdir -p /etc/pve/local; cp ca.pem /etc/pve/pve-root-ca.pem; cp node.pem /etc/pve/local/pve-ssl.pem; cp node.key /etc/pve/local/pve-ssl.key",
    );
    // Of an operator: a good one with its chain, one with another's key, one whose key is encrypted, one that is over.
    make(
        lab,
        "for n in home other; do
           openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $n.key -out $n.csr -subj /CN=$n 2>/dev/null
           printf subjectAltName=DNS:$n.example.org >ext
           openssl x509 -req -in $n.csr -CA ca.pem -CAkey ca.key -days 90 -extfile ext -out $n.pem 2>/dev/null
         done
         openssl pkey -in home.key -aes256 -passout pass:x -out sealed.key",
    );
    let mut params = rcgen::CertificateParams::new(vec!["old.example.org".to_owned()]).unwrap();
    (params.not_before, params.not_after) = (rcgen::date_time_ymd(2025, 1, 1), rcgen::date_time_ymd(2025, 4, 1));
    let key = rcgen::KeyPair::generate().unwrap();
    lab.write("/root/ca/old.pem", &params.self_signed(&key).unwrap().pem());
    lab.write("/root/ca/old.key", &key.serialize_pem());
    put(lab, "home", "home.pem ca.pem", "home.key");
    put(lab, "wrong", "other.pem", "home.key");
    put(lab, "sealed", "home.pem", "sealed.key");
    put(lab, "disorder", "ca.pem home.pem", "ca.key");
    put(lab, "old", "old.pem", "old.key");
    lab.guest(9999, &format!("cp {TLS}/home.crt {TLS}/alone.crt; echo nonsense >{TLS}/nonsense.crt; ln -s /etc/shadow {TLS}/link.crt"));
    done(lab, "publish cloud --to web:80 --tls internal --tls-name cloud.home");
    done(lab, "publish page --to wiki:80 --tls given --certificate home");
    // A thing behind Caddy that shows what the appliance does not know.
    lab.write("/tmp/hand", &format!("https://:8443 {{\n\ttls {TLS}/home.crt {TLS}/home.key\n\trespond \"the app\"\n}}\n"));
    lab.sh("pct exec 9999 -- tee /etc/caddy/apps/hand.caddy </tmp/hand >/dev/null");
    lab.guest(9999, "caddy reload --adapter caddyfile --config /etc/caddy/Caddyfile 2>/dev/null");
    done(lab, "publish app --to https://10.20.0.1:8443 --insecure-upstream");
    let name = lab.guest(9999, "hostname");
    done(lab, &format!("publish named --to https://{name}:8443 --insecure-upstream --unanswered"));
    done(lab, "publish strict --to https://10.20.0.1:8443 --upstream-name home.example.org --unanswered");
    // Whom the appliance knows: somebody, and not this one.
    lab.sh("pct exec 9999 -- tee /etc/ssl/certs/ca-certificates.crt </root/ca/old.pem >/dev/null");

    let (rc, told) = look(lab);
    assert_eq!(rc, 10, "{told:#}");
    println!("{} certificates compared with openssl", as_openssl_says(lab, &told));

    let node = at(&told, "/etc/pve/local/pve-ssl.pem");
    assert_eq!((&node["key"]["is"], &node["renewal"]["state"], &node["whose"]), (&"matches".into(), &"not-due".into(), &"node".into()));
    assert_eq!((wrong(node), node["serves"][0].as_str()), (vec![], Some("the node's web interface 8006")));
    assert_eq!(at(&told, "/etc/pve/pve-root-ca.pem")["key"]["is"], "not-looked");
    let home = at(&told, &format!("{TLS}/home.crt"));
    assert_eq!(
        (&home["key"]["is"], home["serves"][0].as_str(), home["chain"].as_array().unwrap().len()),
        (&"matches".into(), Some("page 30001"), 2)
    );
    assert_eq!((&home["days"], wrong(home)), (&89.into(), vec![]));
    assert_eq!(wrong(at(&told, &format!("{TLS}/wrong.crt"))), ["the key beside it is another one's"]);
    assert_eq!(at(&told, &format!("{TLS}/sealed.crt"))["key"]["why"], "the key is encrypted");
    assert_eq!(at(&told, &format!("{TLS}/disorder.crt"))["chain_breaks_at"], 1);
    assert_eq!(wrong(at(&told, &format!("{TLS}/alone.crt"))), ["there is no key beside it"]);
    let old = at(&told, &format!("{TLS}/old.crt"));
    assert!(wrong(old)[0].starts_with("it expired ") && old["wrong"][0]["level"] == "warn", "{old}");
    // Caddy's own: for half a day, a week and ten years, and nothing is said against any of them.
    let caddy: Vec<&Value> =
        told["items"].as_array().unwrap().iter().filter(|i| i["where"].as_str().unwrap().starts_with("/var/lib/caddy")).collect();
    let mut is: Vec<_> =
        caddy.iter().map(|i| (i["whose"].as_str().unwrap(), i["key"]["is"].as_str().unwrap(), i["serves"][0].as_str())).collect();
    is.sort();
    let cloud = Some("cloud 30000");
    assert_eq!(is, [("caddy-intermediate", "not-looked", cloud), ("caddy-root", "not-looked", cloud), ("internal", "matches", cloud)]);
    assert!(caddy.iter().all(|i| wrong(i).is_empty()), "{caddy:#?}");
    // Upstreams: the same place, by two promises.
    let up: Vec<&Value> = told["items"].as_array().unwrap().iter().filter(|i| i["whose"] == "upstream").collect();
    let believed: Vec<_> = up.iter().map(|i| (i["serves"][0].as_str().unwrap(), i["believed"]["is"].as_str().unwrap())).collect();
    assert_eq!(believed, [("strict 30004", "refused"), ("app 30002", "skipped"), ("named 30003", "skipped")], "{told:#}");
    assert!(up.iter().all(|i| i["chain"][0]["fingerprint"] == home["chain"][0]["fingerprint"]));
    // What could not be read is said, and a link is not followed.
    let gaps: Vec<_> = told["unknown"].as_array().unwrap().iter().map(|g| format!("{}: {}", g["what"], g["why"])).collect();
    let has = |what: &str, why: &str| assert!(gaps.iter().any(|g| g.contains(what) && g.contains(why)), "{what} {why}: {gaps:?}");
    has("nonsense.crt", "no certificate in it");
    has("link.crt", "/etc/shadow, which was not followed");
    assert_eq!(gaps.len(), 2, "{gaps:?}");

    // Believed once the appliance knows who signed it.
    lab.sh("pct exec 9999 -- tee -a /etc/ssl/certs/ca-certificates.crt </root/ca/ca.pem >/dev/null");
    let (_, told) = look(lab);
    let strict = told["items"].as_array().unwrap().iter().find(|i| i["serves"][0] == "strict 30004").unwrap();
    assert_eq!((strict["believed"]["is"].as_str(), wrong(strict)), (Some("proven"), vec![]), "{strict}");

    // A certificate of the node's own web interface, by hand and then by ACME; the key of another.
    lab.sh("cd /root/ca; cat home.pem ca.pem >/etc/pve/local/pveproxy-ssl.pem; cp home.key /etc/pve/local/pveproxy-ssl.key");
    let own = |told: &Value| {
        let [ours, nodes] = ["pveproxy-ssl", "pve-ssl"].map(|name| at(told, &format!("/etc/pve/local/{name}.pem")).clone());
        let is = format!(
            "{} {} {}",
            ours["whose"].as_str().unwrap(),
            ours["key"]["is"].as_str().unwrap(),
            ours["serves"].as_array().unwrap().len()
        );
        (is, nodes["serves"].as_array().unwrap().len())
    };
    assert_eq!(own(&look(lab).1), ("node-given matches 1".into(), 0));
    lab.sh("printf 'acme: domains=home.example.org\\n' >/etc/pve/local/config; cp /root/ca/node.key /etc/pve/local/pveproxy-ssl.key");
    let (_, told) = look(lab);
    assert_eq!(own(&told), ("node-acme other 1".into(), 0));
    assert_eq!(as_openssl_says(lab, &told), 17);

    // Nothing of a key is anywhere in what is told, and nothing was changed by looking.
    let text = lab.sh("proximity ports certificates; proximity ports certificates -o json || true");
    let key = lab.sh("sed -n 2p /root/ca/home.key");
    assert!(text.contains("another's") && !text.contains(&key) && !text.contains("PRIVATE"), "{text}");
    println!("{}", lab.sh("proximity ports certificates 2>/dev/null || true"));
}

/// Caddy of Debian keeps its own elsewhere.
#[test]
fn certificates_of_an_appliance_of_debian_are_found() {
    let Some(lab) = nothing() else { return skip("no lab on this machine") };
    let lab = &lab;
    let template = ["--template", "local:vztmpl/debian-12-appliance_amd64.tar.zst"];
    let built = lab.exec("pve1", &[&["proximity", "appliance", "provision", "--yes"], &template[..]].concat());
    assert_eq!(built.rc, 0, "{built:?}");
    apps(lab);
    assert_eq!(converge(lab).rc, 0);
    done(lab, "publish cloud --to web:80 --tls internal --tls-name cloud.home");
    let (_, told) = look(lab);
    let place = "/var/lib/caddy/.local/share/caddy";
    let leaf = at(&told, &format!("{place}/certificates/local/cloud.home/cloud.home.crt"));
    assert_eq!((&leaf["key"]["is"], leaf["serves"][0].as_str(), wrong(leaf)), (&"matches".into(), Some("cloud 30000"), vec![]));
    assert_eq!(at(&told, &format!("{place}/pki/authorities/local/intermediate.crt"))["whose"], "caddy-intermediate");
    assert_eq!(at(&told, &format!("{place}/pki/authorities/local/root.crt"))["key"]["is"], "not-looked");
    assert!(as_openssl_says(lab, &told) >= 4);
    // Its archive has none of the authority's keys, whichever tar packs it.
    let packed =
        lab.guest(9999, &format!("tar -C / -cf - --exclude root.key --exclude intermediate.key {place}/pki 2>/dev/null | tar -tf -"));
    assert!(packed.contains("root.crt") && !packed.contains(".key"), "{packed}");
}
