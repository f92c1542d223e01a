//! One call from its path to typed data: what is sent, what an answer means, and what may be tried again.
//!
//! A GET is tried once more where no connection came about, or where one that was kept turned out to be closed. A change is
//! sent once, on a connection of its own; if its outcome is not seen, that is an [`ApiError::Unknown`].

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST, HeaderMap, HeaderValue};
use hyper::{Method, Request};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::error::{ApiError, said};
use super::line::{Answer, Line, Target};
use super::login;

/// From a failed connection to the second try of a GET.
const PAUSE: Duration = Duration::from_millis(300);
/// A body larger than this is read by another thread, so that nothing else has to wait.
const LARGE: usize = 64 << 10;

/// A call that is not yet under way.
pub(super) struct Call {
    pub method: Method,
    /// Path and query behind `/api2/json`, encoded.
    pub path: String,
    pub form: Bytes,
}

impl Call {
    pub fn get(path: &[&str], query: &[(&str, &str)]) -> Call {
        let mut path = joined(path);
        let query: Vec<_> = query.iter().map(|(k, v)| (*k, [v.as_bytes()])).collect();
        if !query.is_empty() {
            let fields: Vec<(&str, &[&[u8]])> = query.iter().map(|(k, v)| (*k, &v[..])).collect();
            path.push('?');
            path.push_str(&String::from_utf8_lossy(&login::form(&fields)));
        }
        Call { method: Method::GET, path, form: Bytes::new() }
    }

    pub fn change(method: Method, path: &[&str], form: Bytes) -> Call {
        Call { method, path: joined(path), form }
    }

    /// Method and path, as errors name it.
    pub fn name(&self) -> String {
        let path = self.path.split('?').next().unwrap_or("");
        format!("{} {}", self.method, said(path))
    }

    pub fn is_change(&self) -> bool {
        self.method != Method::GET
    }

    /// Sends it, on the kept line if there is one, and leaves the line where another call can use it.
    pub async fn send(&self, to: &Target, headers: HeaderMap, kept: &mut Option<Line>) -> Result<Answer, ApiError> {
        let name = self.name();
        if self.is_change() {
            // A kept line may be closed at the very moment we write to it, and nobody could tell what became of the change.
            let mut line = to.open().await?;
            let answer = line.send(self.request(to, headers)?, &name, &to.limits).await;
            return answer.map_err(|why| ApiError::Unknown { call: name, why: Box::new(why) });
        }
        if let Some(mut line) = kept.take().filter(Line::is_open) {
            match line.send(self.request(to, headers.clone())?, &name, &to.limits).await {
                Err(ApiError::Cut { .. }) => {}
                answer => {
                    *kept = answer.is_ok().then_some(line);
                    return answer;
                }
            }
        }
        let mut line = match to.open().await {
            Err(ApiError::NoConnection { .. }) => {
                tokio::time::sleep(PAUSE).await;
                to.open().await?
            }
            opened => opened?,
        };
        let answer = line.send(self.request(to, headers)?, &name, &to.limits).await?;
        *kept = Some(line);
        Ok(answer)
    }

    fn request(&self, to: &Target, headers: HeaderMap) -> Result<Request<Full<Bytes>>, ApiError> {
        let built =
            Request::builder().method(self.method.clone()).uri(format!("/api2/json{}", self.path)).body(Full::new(self.form.clone()));
        let mut request = built.map_err(|e| ApiError::Foreign { call: self.name(), why: e.to_string() })?;
        *request.headers_mut() = headers;
        let headers = request.headers_mut();
        if let Ok(host) = HeaderValue::try_from(to.address.to_string()) {
            headers.insert(HOST, host);
        }
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if self.is_change() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        }
        Ok(request)
    }
}

/// Segments of a path, each encoded, so that none can hold a `/` or `?` of its own.
fn joined(path: &[&str]) -> String {
    let mut out = Vec::new();
    for segment in path {
        out.push(b'/');
        login::encode(segment.as_bytes(), &mut out);
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[derive(Deserialize)]
struct Envelope<T> {
    data: Option<T>,
}

/// What a refusal may hold beside its status line (since pve-http-server 5.2.0), and the reason for each field.
#[derive(Deserialize, Default)]
struct Refusal {
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    errors: Option<serde_json::Map<String, serde_json::Value>>,
}

/// Whether an answer is one of success; else what it says.
pub(super) fn judge(call: &Call, answer: &Answer) -> Result<(), ApiError> {
    let name = call.name();
    let words = || refusal(answer);
    let unknown = |why: ApiError| {
        if call.is_change() { ApiError::Unknown { call: call.name(), why: Box::new(why) } } else { why }
    };
    match answer.status {
        200..=299 => Ok(()),
        300..=399 => {
            let to = answer.location.clone().unwrap_or_else(|| "somewhere else".into());
            Err(ApiError::Redirected { call: name, to })
        }
        401 => Err(ApiError::NotTaken { said: words() }),
        403 => Err(ApiError::Forbidden { said: words() }),
        // No connection was made to whoever should have done it.
        status @ 595 => Err(ApiError::Behind { status, said: words() }),
        status @ 596..=599 => Err(unknown(ApiError::Behind { status, said: words() })),
        // A proxy on the way gave up on an answer; what it asked for may have been done.
        status @ (502 | 504) => Err(unknown(ApiError::Refused { status, said: words() })),
        status => Err(ApiError::Refused { status, said: words() }),
    }
}

/// The text of a refusal: that of the status line, which all releases have, else that of the body.
fn refusal(answer: &Answer) -> String {
    let body: Refusal = serde_json::from_slice(&answer.body).unwrap_or_default();
    let mut text = answer.reason.clone();
    if text.is_empty() {
        text = said(&body.message.unwrap_or_default());
    }
    if text.is_empty() {
        text = hyper::StatusCode::from_u16(answer.status).ok().and_then(|s| s.canonical_reason()).unwrap_or("no reason given").to_owned();
    }
    for (field, why) in body.errors.into_iter().flatten().take(8) {
        let why = why.as_str().map_or_else(|| why.to_string(), str::to_owned);
        text.push_str(&format!("; {}: {}", said(&field), said(&why)));
    }
    said(&text)
}

/// The data of an answer; `None` where it is null or missing.
pub(super) async fn data<T: DeserializeOwned + Send + 'static>(call: &Call, answer: Answer) -> Result<Option<T>, ApiError> {
    let foreign = |why: String| ApiError::Foreign { call: call.name(), why };
    if answer.form == "text/html" {
        return Err(foreign("it is a page of HTML".into()));
    }
    // The reader would also take a list for an object, its parts in the order of the fields.
    if answer.body.trim_ascii_start().first() != Some(&b'{') {
        return Err(foreign("it is no JSON object".into()));
    }
    let small = answer.body.len() <= LARGE;
    let parse = move || serde_json::from_slice::<Envelope<T>>(&answer.body).map(|e| e.data);
    let parsed = if small { parse() } else { tokio::task::spawn_blocking(parse).await.map_err(|e| foreign(e.to_string()))? };
    // The reader's own words may repeat what it read.
    parsed.map_err(|e| {
        let at = format!("line {}, column {}", e.line(), e.column());
        if e.is_data() {
            foreign(format!("a part has another form than was expected ({at})"))
        } else {
            foreign(format!("it is no JSON ({at})"))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, reason: &str, body: &str) -> Answer {
        let body = Bytes::from(body.to_owned());
        Answer { status, reason: reason.into(), form: "application/json".into(), location: None, date: None, body }
    }

    fn judged(method: Method, answer: &Answer) -> String {
        judge(&Call::change(method, &["x"], Bytes::new()), answer).map_or_else(|e| e.to_string(), |()| "ok".into())
    }

    #[test]
    fn a_segment_cannot_leave_its_place() {
        assert_eq!(Call::get(&["nodes", "../a b?c/d"], &[("type", "v&m")]).path, "/nodes/..%2Fa%20b%3Fc%2Fd?type=v%26m");
    }

    #[test]
    fn the_reason_is_found_where_each_release_puts_it() {
        let bare = answer(500, "CT is locked (disk)", r#"{"data":null}"#);
        assert_eq!(judged(Method::GET, &bare), "CT is locked (disk) (500)");
        let body = answer(500, "", r#"{"data":null,"message":"CT is locked\n"}"#);
        assert_eq!(judged(Method::GET, &body), "CT is locked (500)");
        let fields = answer(400, "Parameter verification failed.", r#"{"errors":{"vmid":"not \u001b[2J good\n"},"data":null}"#);
        assert_eq!(judged(Method::POST, &fields), "Parameter verification failed.; vmid: not ␛[2J good (400)");
        assert_eq!(judged(Method::GET, &answer(429, "", "")), "Too Many Requests (429)");
        assert!(judged(Method::GET, &answer(500, &"x".repeat(99_999), "")).len() < 500);
    }

    #[test]
    fn what_a_node_behind_did_not_answer_is_unknown_for_a_change_only() {
        for (status, unknown) in [(595, false), (596, true), (597, true), (599, true), (502, true), (500, false), (403, false)] {
            let answer = answer(status, "Connection refused", "");
            assert_eq!(judged(Method::POST, &answer).starts_with("whether POST /x was carried out is not known"), unknown, "{status}");
            assert!(!judged(Method::GET, &answer).contains("whether"), "{status}");
        }
    }
}
