//! What a test can turn: `/etc/pve-standin.json`, with the environment on top.
//!
//! Keys: `version` ("9.1" or "8.4"), `delay_ms` (start-up cost of every call; the real tools need 550-750 ms),
//! `vzdump_bytes_per_s` (archive stream before compression), `fail` (list of `tool verb [vmid]=code:message`).
//! Environment: `PVE_VERSION`, `PVE_DELAY_MS`, `PVE_FAIL` (one rule).

use crate::fail::Fail;
use serde_json::Value;
use std::time::Duration;

const FILE: &str = "/etc/pve-standin.json";

fn setting(key: &str) -> Option<Value> {
    let text = std::fs::read_to_string(FILE).ok()?;
    serde_json::from_str::<Value>(&text).ok()?.get(key).cloned()
}

fn number(key: &str, env: &str) -> Option<u64> {
    match std::env::var(env) {
        Ok(text) => text.parse().ok(),
        Err(_) => setting(key)?.as_u64(),
    }
}

/// True for the texts and exit codes of 9.x, false for those of 8.4.
pub fn is_nine() -> bool {
    let version = std::env::var("PVE_VERSION").ok().or_else(|| setting("version").and_then(|v| v.as_str().map(str::to_owned)));
    version.is_none_or(|v| v.starts_with('9'))
}

pub fn release() -> (&'static str, &'static str) {
    if is_nine() { ("9.1", "9.1.8") } else { ("8.4", "8.4.1") }
}

pub const REPOID: &str = "a8e257e1ab2c0d3e";

pub fn pveversion_line() -> String {
    format!("pve-manager/{}/{REPOID} (running kernel: {})", release().1, kernel())
}

pub fn kernel() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// The name of this node.
pub fn node() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

pub fn delay() {
    if let Some(ms) = number("delay_ms", "PVE_DELAY_MS") {
        std::thread::sleep(Duration::from_millis(ms));
    }
}

/// Bytes per second that may flow from tar to the compressor.
pub fn vzdump_rate() -> Option<u64> {
    number("vzdump_bytes_per_s", "PVE_VZDUMP_BYTES_PER_S").filter(|n| *n > 0)
}

/// The failure a test has ordered for this call, if any.
pub fn forced_failure(tool: &str, argv: &[String]) -> Option<Fail> {
    let mut rules: Vec<String> = std::env::var("PVE_FAIL").into_iter().collect();
    if let Some(Value::Array(list)) = setting("fail") {
        rules.extend(list.iter().filter_map(|r| r.as_str().map(str::to_owned)));
    }
    rules.iter().find_map(|rule| {
        let (call, result) = rule.split_once('=')?;
        let (code, text) = result.split_once(':')?;
        let mut words = call.split_whitespace();
        let same = words.next()? == tool && words.enumerate().all(|(at, word)| argv.get(at).is_some_and(|a| a == word));
        same.then(|| Fail { rc: code.parse().unwrap_or(255), text: text.to_owned() })
    })
}
