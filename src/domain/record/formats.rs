//! The table of formats of text lines. A line is a frame (who wrote it, when) around a message; both have formats.
//!
//! The sample lines are the tests: each must be taken for its own format, with just these fields.

use std::sync::LazyLock;

use regex::Regex;

/// A line as it is written, and the fields it has.
pub type Sample = (&'static str, &'static [(&'static str, &'static str)]);

/// How lines of one kind look.
pub struct Format {
    /// Its name on the screen.
    pub name: &'static str,
    /// Programs that write it; empty for any.
    programs: &'static [&'static str],
    /// The whole of a message; its named groups are the fields.
    pattern: &'static str,
    /// Messages and what they are made of.
    pub samples: &'static [Sample],
}

/// What stands around a message: a frame gives it its program. `rest` is the message.
static FRAMES: [(&str, &str); 6] = [
    ("docker compose", r"^(?<container>[\w.-]+-\d+) +\| (?<rest>.*)$"),
    ("syslog", r"^\w{3} [ \d]\d \d\d:\d\d:\d\d (?<program>dnsmasq[\w-]*)\[(?<pid>\d+)\]: (?<rest>.*)$"),
    ("syslog", r"^\w{3} [ \d]\d \d\d:\d\d:\d\d (?<host>[\w.-]+) (?<program>[^\s:\[]+)(?:\[(?<pid>\d+)\])?: (?<rest>.*)$"),
    ("syslog", r"^\d{4}-\d\d-\d\dT\S+ (?<host>[\w.-]+) (?<program>[^\s:\[]+)(?:\[(?<pid>\d+)\])?: (?<rest>.*)$"),
    ("kernel", r"^(?:<\d+>)?\[ *(?<uptime>\d+\.\d+)\] (?<rest>.*)$"),
    ("text log", r"^\[?\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d[.,\d]*(?: ?[+-]\d\d:?\d\d|Z)?\]? +(?<rest>.*)$"),
];

/// Formats of messages; the first that fits holds. The very first is what fits nowhere else.
pub static FORMATS: [Format; 19] = [
    Format {
        name: "plain",
        programs: &[],
        pattern: r"^(?<message>(?s).*)$",
        samples: &[("anything at all", &[("message", "anything at all")])],
    },
    Format {
        name: "dnsmasq query",
        programs: &["dnsmasq"],
        pattern: r"^(?:(?<serial>\d+) \S+ )?query\[(?<type>[\w=]+)\] (?<query>\S+) from (?<client>\S+)$",
        samples: &[
            (
                "query[A] nextcloud.prox.local from 10.20.0.104",
                &[("type", "A"), ("query", "nextcloud.prox.local"), ("client", "10.20.0.104")],
            ),
            (
                "17 10.20.0.9/51234 query[type=65] example.org from 10.20.0.9",
                &[("serial", "17"), ("type", "type=65"), ("query", "example.org"), ("client", "10.20.0.9")],
            ),
        ],
    },
    Format {
        name: "dnsmasq answer",
        programs: &["dnsmasq"],
        pattern: r"^(?:\d+ \S+ )?(?<source>reply|cached|config|DHCP|/etc/\S+|\S+\.hosts) (?<query>\S+) is (?<answer>.+)$",
        samples: &[
            ("reply example.org is 93.184.216.34", &[("source", "reply"), ("query", "example.org"), ("answer", "93.184.216.34")]),
            (
                "DHCP nextcloud.prox.local is 10.20.0.104",
                &[("source", "DHCP"), ("query", "nextcloud.prox.local"), ("answer", "10.20.0.104")],
            ),
            ("config no.prox.local is NXDOMAIN", &[("source", "config"), ("query", "no.prox.local"), ("answer", "NXDOMAIN")]),
        ],
    },
    Format {
        name: "dnsmasq forward",
        programs: &["dnsmasq"],
        pattern: r"^(?:\d+ \S+ )?forwarded (?<query>\S+) to (?<upstream>\S+)$",
        samples: &[("forwarded example.org to 1.1.1.1", &[("query", "example.org"), ("upstream", "1.1.1.1")])],
    },
    Format {
        name: "DHCP",
        programs: &["dnsmasq-dhcp", "dnsmasq"],
        pattern: r"^(?:(?<transaction>\d+) )?(?<event>DHCP[A-Z]+)\((?<interface>[^)]+)\) (?:(?<address>[\d.]+) )?(?<mac>(?:[0-9a-f]{2}:){5}[0-9a-f]{2})(?: (?<hostname>.+))?$",
        samples: &[
            (
                "DHCPACK(eth1) 10.20.0.131 bc:24:11:2a:00:05 nextcloud",
                &[
                    ("event", "DHCPACK"),
                    ("interface", "eth1"),
                    ("address", "10.20.0.131"),
                    ("mac", "bc:24:11:2a:00:05"),
                    ("hostname", "nextcloud"),
                ],
            ),
            ("DHCPDISCOVER(eth1) bc:24:11:2a:00:05", &[("event", "DHCPDISCOVER"), ("interface", "eth1"), ("mac", "bc:24:11:2a:00:05")]),
            (
                "1839284 DHCPNAK(eth1) 10.20.0.9 bc:24:11:2a:00:05 wrong address",
                &[
                    ("transaction", "1839284"),
                    ("event", "DHCPNAK"),
                    ("interface", "eth1"),
                    ("address", "10.20.0.9"),
                    ("mac", "bc:24:11:2a:00:05"),
                    ("hostname", "wrong address"),
                ],
            ),
        ],
    },
    Format {
        name: "DHCP lease",
        programs: &[],
        pattern: r"^(?<expires>\d{9,10}) (?<mac>(?:[0-9a-f]{2}:){5}[0-9a-f]{2}) (?<address>[\d.]+) (?<hostname>\S+) (?<client_id>\S+)$",
        samples: &[(
            "1795314719 bc:24:11:2a:00:05 10.20.0.131 nextcloud ff:11:2a:00:05:00:01",
            &[
                ("expires", "1795314719"),
                ("mac", "bc:24:11:2a:00:05"),
                ("address", "10.20.0.131"),
                ("hostname", "nextcloud"),
                ("client_id", "ff:11:2a:00:05:00:01"),
            ],
        )],
    },
    Format {
        name: "PVE task begins",
        programs: &["pvedaemon", "pveproxy", "pvesh", "pct", "qm", "vzdump", "pvescheduler"],
        pattern: r"^(?:<(?<user>[^>]+)> )?starting task (?<upid>UPID:\S+)$",
        samples: &[(
            "<root@pam> starting task UPID:pve1:0006FB34:0019E2FE:6A62022E:vzdump:101:root@pam:",
            &[("user", "root@pam"), ("upid", "UPID:pve1:0006FB34:0019E2FE:6A62022E:vzdump:101:root@pam:")],
        )],
    },
    Format {
        name: "PVE task ends",
        programs: &["pvedaemon", "pveproxy", "pvesh", "pct", "qm", "vzdump", "pvescheduler"],
        pattern: r"^(?:<(?<user>[^>]+)> )?end task (?<upid>UPID:\S+) (?<status>.+)$",
        samples: &[(
            "<root@pam> end task UPID:pve1:0006FB34:0019E2FE:6A62022E:vzdump:101:root@pam: job errors",
            &[("user", "root@pam"), ("upid", "UPID:pve1:0006FB34:0019E2FE:6A62022E:vzdump:101:root@pam:"), ("status", "job errors")],
        )],
    },
    Format {
        name: "PVE task list",
        programs: &[],
        pattern: r"^(?<upid>UPID:\S+:) (?<ended>[0-9A-F]{8}) (?<status>.+)$",
        samples: &[(
            "UPID:pve1:0006FB34:0019E2FE:6A62022E:vzstart:101:root@pam: 6A620231 OK",
            &[("upid", "UPID:pve1:0006FB34:0019E2FE:6A62022E:vzstart:101:root@pam:"), ("ended", "6A620231"), ("status", "OK")],
        )],
    },
    Format {
        name: "PVE task",
        programs: &[],
        pattern: r"^TASK (?<status>OK|ERROR: .+|WARNINGS: \d+)$",
        samples: &[
            ("TASK OK", &[("status", "OK")]),
            ("TASK ERROR: CT 101 is locked (backup)", &[("status", "ERROR: CT 101 is locked (backup)")]),
        ],
    },
    Format {
        name: "vzdump",
        programs: &[],
        pattern: r"^(?:(?<vmid>\d{3,9}): \d{4}-\d\d-\d\d \d\d:\d\d:\d\d )?(?<severity>INFO|ERROR|WARN): (?<message>.*)$",
        samples: &[
            ("INFO: Starting Backup of VM 101 (lxc)", &[("severity", "INFO"), ("message", "Starting Backup of VM 101 (lxc)")]),
            (
                "101: 2026-11-21 14:31:58 ERROR: Backup of VM 101 failed - no space",
                &[("vmid", "101"), ("severity", "ERROR"), ("message", "Backup of VM 101 failed - no space")],
            ),
        ],
    },
    Format {
        name: "PVE access",
        programs: &[],
        pattern: r#"^(?<client>[0-9a-fA-F.:]+) - (?<user>\S+) \[(?<time>\d\d/\d\d/\d{4}:[^\]]+)\] "(?<method>[A-Z]+) (?<uri>\S+) (?<protocol>[^"]+)" (?<status>\d{3}) (?<size>\S+)$"#,
        samples: &[(
            r#"::ffff:10.1.2.9 - root@pam [21/11/2026:14:31:58 +0100] "GET /api2/json/nodes HTTP/1.1" 200 351"#,
            &[
                ("client", "::ffff:10.1.2.9"),
                ("user", "root@pam"),
                ("time", "21/11/2026:14:31:58 +0100"),
                ("method", "GET"),
                ("uri", "/api2/json/nodes"),
                ("protocol", "HTTP/1.1"),
                ("status", "200"),
                ("size", "351"),
            ],
        )],
    },
    Format {
        name: "access log",
        programs: &[],
        pattern: r#"^(?<client>[0-9a-fA-F.:]+) (?<ident>\S+) (?<user>\S+) \[(?<time>\d\d/\w{3}/\d{4}:[^\]]+)\] "(?<method>[A-Z]+) (?<uri>\S+)(?: (?<protocol>[^"]+))?" (?<status>\d{3}) (?<size>\S+)(?: "(?<referer>[^"]*)" "(?<agent>[^"]*)")?.*$"#,
        samples: &[(
            r#"10.20.0.9 - - [21/Nov/2026:14:31:58 +0100] "GET /status.php HTTP/1.1" 200 512 "-" "curl/8.5""#,
            &[
                ("client", "10.20.0.9"),
                ("ident", "-"),
                ("user", "-"),
                ("time", "21/Nov/2026:14:31:58 +0100"),
                ("method", "GET"),
                ("uri", "/status.php"),
                ("protocol", "HTTP/1.1"),
                ("status", "200"),
                ("size", "512"),
                ("referer", "-"),
                ("agent", "curl/8.5"),
            ],
        )],
    },
    Format {
        name: "out of memory",
        programs: &[],
        pattern: r"^(?:Memory cgroup o|O)ut of memory: Killed process (?<pid>\d+) \((?<command>[^)]*)\) (?<usage>.*)$",
        samples: &[(
            "Memory cgroup out of memory: Killed process 4242 (mariadbd) total-vm:2105344kB, anon-rss:1048576kB",
            &[("pid", "4242"), ("command", "mariadbd"), ("usage", "total-vm:2105344kB, anon-rss:1048576kB")],
        )],
    },
    Format {
        name: "out of memory in",
        programs: &[],
        pattern: r"^oom-kill:.*task_memcg=/lxc/(?<vmid>\d+)(?<cgroup>[^,]*),task=(?<command>[^,]*),pid=(?<pid>\d+).*$",
        samples: &[(
            "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=ns,mems_allowed=0,oom_memcg=/lxc/104,task_memcg=/lxc/104/ns/system.slice/mariadb.service,task=mariadbd,pid=4242,uid=100112",
            &[("vmid", "104"), ("cgroup", "/ns/system.slice/mariadb.service"), ("command", "mariadbd"), ("pid", "4242")],
        )],
    },
    Format {
        name: "SSH login",
        programs: &["sshd", "sshd-session"],
        pattern: r"^(?<event>Accepted|Failed) (?<method>\S+) for (?:invalid user )?(?<user>\S+) from (?<client>\S+) port (?<client_port>\d+) ssh2(?:: (?<key>.+))?$",
        samples: &[
            (
                "Accepted publickey for root from 10.1.2.9 port 51000 ssh2: ED25519 SHA256:abc",
                &[
                    ("event", "Accepted"),
                    ("method", "publickey"),
                    ("user", "root"),
                    ("client", "10.1.2.9"),
                    ("client_port", "51000"),
                    ("key", "ED25519 SHA256:abc"),
                ],
            ),
            (
                "Failed password for invalid user admin from 203.0.113.7 port 4711 ssh2",
                &[("event", "Failed"), ("method", "password"), ("user", "admin"), ("client", "203.0.113.7"), ("client_port", "4711")],
            ),
        ],
    },
    Format {
        name: "bridge",
        programs: &["kernel"],
        pattern: r"^(?<bridge>[\w.-]+): port \d+\((?<interface>(?:veth|tap|fwpr|fwln)(?<vmid>\d{3,9})[^)]*)\) entered (?<state>\w+) state$",
        samples: &[(
            "vmbr0: port 2(veth104i0) entered forwarding state",
            &[("bridge", "vmbr0"), ("interface", "veth104i0"), ("vmid", "104"), ("state", "forwarding")],
        )],
    },
    Format {
        name: "systemd",
        programs: &["systemd"],
        pattern: r"^(?<unit>[\w@:.\\-]+\.(?:service|timer|socket|mount|scope|slice|target)): (?<message>.*)$",
        samples: &[(
            "pve-container@104.service: Main process exited, code=killed, status=9/KILL",
            &[("unit", "pve-container@104.service"), ("message", "Main process exited, code=killed, status=9/KILL")],
        )],
    },
    Format {
        name: "systemd",
        programs: &["systemd"],
        pattern: r"^(?<event>Started|Stopped|Starting|Stopping|Finished|Failed to start) (?<unit>[\w@:.\\-]+\.\w+)(?: - (?<description>.*?))?\.{0,3}$",
        samples: &[(
            "Started pve-container@104.service - PVE LXC Container: 104.",
            &[("event", "Started"), ("unit", "pve-container@104.service"), ("description", "PVE LXC Container: 104")],
        )],
    },
];

type Fields = Vec<(String, String)>;

#[allow(clippy::unwrap_used)] // Fixed texts: a test compiles them.
static COMPILED: LazyLock<(Vec<Regex>, Vec<Regex>)> = LazyLock::new(|| {
    let frames = FRAMES.iter().map(|(_, pattern)| Regex::new(pattern).unwrap()).collect();
    (frames, FORMATS.iter().map(|f| Regex::new(f.pattern).unwrap()).collect())
});

fn groups(regex: &Regex, text: &str) -> Option<Fields> {
    let found = regex.captures(text)?;
    let names = regex.capture_names().flatten();
    Some(names.filter_map(|name| found.name(name).map(|value| (name.to_owned(), value.as_str().to_owned()))).collect())
}

/// A line of text: its frame, and the message in it.
pub(super) fn text(line: &str) -> (&'static str, Fields) {
    for (regex, (name, _)) in COMPILED.0.iter().zip(&FRAMES) {
        let Some(mut fields) = groups(regex, line) else { continue };
        let rest = fields.pop().map(|(_, rest)| rest).unwrap_or_default();
        let program = fields.iter().find(|(name, _)| name == "program").map_or("", |(_, program)| program.as_str());
        let program = if *name == "kernel" { "kernel" } else { program };
        // What a container says has a frame of its own, as has what follows a bare time.
        let (inner, mut inside) = if matches!(*name, "docker compose") { text(&rest) } else { message(program, &rest) };
        fields.append(&mut inside);
        return (if inner == FORMATS[0].name { name } else { inner }, fields);
    }
    message("", line)
}

/// A message of a program; of an unknown one where that is empty.
pub(super) fn message(program: &str, text: &str) -> (&'static str, Fields) {
    let may = |format: &Format| format.programs.is_empty() || program.is_empty() || format.programs.contains(&program);
    let of = FORMATS.iter().zip(&COMPILED.1).skip(1).filter(|(format, _)| may(format));
    let found = of.into_iter().find_map(|(format, regex)| groups(regex, text).map(|fields| (format.name, fields)));
    found.unwrap_or_else(|| (FORMATS[0].name, vec![("message".to_owned(), text.to_owned())]))
}
