//! From the first byte to an authenticated session: encryption, cancel requests, SCRAM, limits, first settings.
//!
//! PostgreSQL 15, section 55.2.1 "Start-up" and 55.2.10 "SSL Session Encryption". Direct TLS (ALPN `postgresql`, as from
//! PostgreSQL 17) is accepted too. A client learns nothing about users, databases or limits before it is authenticated.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Buf, BytesMut};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_rustls::TlsAcceptor;

use super::cancel::{LONG_SECRET_BYTES, Registration, SHORT_SECRET_BYTES};
use super::channel::{Channel, Stream};
use super::message::{AUTHENTICATION_BYTES_MAX, Body, Frontend, Initial};
use super::reply;
use super::scram::{self, Exchange};
use super::shared::{Shared, UserPlace};
use super::tls::ALPN_POSTGRESQL;
use crate::catalog::model::ScramVerifier;
use crate::catalog::verifier::password_matches;
use crate::error::{Error, Result, SqlState};
use crate::session::Session;
use crate::settings::Settings;

/// Newest minor version of protocol 3 that is spoken.
const PROTOCOL_MINOR_MAX: i32 = 2;
/// First byte of a TLS handshake record.
const TLS_HANDSHAKE: u8 = 0x16;
/// How many packets may come before the startup message: two encryption requests at most.
const REQUESTS_MAX: usize = 2;

/// A session that may begin.
pub struct Ready {
    pub channel: Channel,
    pub session: Session,
    pub registration: Registration,
    pub user: UserPlace,
    pub session_permit: OwnedSemaphorePermit,
}

/// What the startup message asked for.
struct Request {
    minor: i32,
    user: String,
    database: Option<String>,
    options: Vec<(String, String)>,
    unknown_options: Vec<String>,
}

/// The two ends of a connection.
#[derive(Clone, Copy)]
struct Ends {
    peer: SocketAddr,
    own: SocketAddr,
}

/// Takes a connection to its first ReadyForQuery. `None` when there will be no session; the client was told why.
pub async fn start(stream: TcpStream, peer: SocketAddr, shared: &Arc<Shared>) -> Option<Ready> {
    drop(stream.set_nodelay(true));
    // a client whose machine is gone is noticed, sooner or later
    drop(socket2::SockRef::from(&stream).set_keepalive(true));
    let Ok(own) = stream.local_addr() else { return None };
    let ends = Ends { peer, own };
    let mut channel = match first_stream(stream, shared).await {
        Ok(stream) => Channel::new(stream, BytesMut::new(), AUTHENTICATION_BYTES_MAX),
        Err(error) => {
            tracing::debug!(%peer, cause = %error, "TLS handshake failed");
            return None;
        }
    };
    let mut requests = 0;
    let result = loop {
        match channel.read_initial().await {
            Ok(None) => return None,
            Err(error) => break Err(error),
            Ok(Some(Initial::Cancel { pid, secret })) => {
                shared.cancels.cancel(pid, &secret);
                return None;
            }
            Ok(Some(Initial::GssEncryptionRequest)) if requests < REQUESTS_MAX => {
                requests += 1;
                reply::encryption_answer(&mut channel.output, false);
                if channel.flush().await.is_err() {
                    return None;
                }
            }
            Ok(Some(Initial::SslRequest)) if requests < REQUESTS_MAX => {
                requests += 1;
                channel = encrypted(channel, shared).await?;
            }
            Ok(Some(Initial::SslRequest | Initial::GssEncryptionRequest)) => {
                break Err(violation("too many encryption requests"));
            }
            Ok(Some(Initial::Startup { minor, parameters })) => {
                break authenticated(&mut channel, ends, minor, parameters, shared).await;
            }
        }
    };
    match result {
        Ok((session, registration, user, session_permit)) => {
            tracing::info!(%peer, user = %session_user(&session), pid = registration.pid, "session opened");
            let channel = with_limit(channel, shared.limits.message_bytes);
            Some(Ready { channel, session, registration, user, session_permit })
        }
        Err(error) => {
            tracing::info!(%peer, sqlstate = error.sqlstate().code(), message = error.message(), "connection refused");
            let mut report = error.report().clone();
            report.severity = crate::error::Severity::Fatal;
            reply::report(&mut channel.output, &report);
            drop(channel.flush().await);
            channel.close().await;
            None
        }
    }
}

fn session_user(session: &Session) -> String {
    session.settings().lock().get("session_authorization").unwrap_or_default()
}

fn with_limit(mut channel: Channel, message_bytes: usize) -> Channel {
    let input = channel.take_input();
    let output = std::mem::take(&mut channel.output);
    let mut channel = Channel::new(channel.into_stream(), input, message_bytes);
    channel.output = output;
    channel
}

/// A client may begin with TLS at once instead of asking for it.
async fn first_stream(stream: TcpStream, shared: &Shared) -> std::io::Result<Stream> {
    let mut first = [0; 1];
    if stream.peek(&mut first).await? == 0 || first[0] != TLS_HANDSHAKE {
        return Ok(Stream::Plain(stream));
    }
    let Some(tls) = &shared.tls else {
        return Err(std::io::Error::other("no certificate is configured"));
    };
    let stream = TlsAcceptor::from(Arc::clone(&tls.config)).accept(stream).await?;
    // without ALPN some other protocol could be made to speak to us (PostgreSQL 17, "Direct TLS")
    if stream.get_ref().1.alpn_protocol() != Some(ALPN_POSTGRESQL) {
        return Err(std::io::Error::other("direct TLS needs ALPN"));
    }
    Ok(Stream::Tls(Box::new(stream)))
}

/// Answers an SSLRequest and, where there is a certificate, shakes hands.
async fn encrypted(mut channel: Channel, shared: &Shared) -> Option<Channel> {
    let Some(tls) = &shared.tls else {
        reply::encryption_answer(&mut channel.output, false);
        channel.flush().await.ok()?;
        return Some(channel);
    };
    // bytes that came in the clear behind the request would otherwise pass as encrypted ones (CVE-2021-23214)
    if !channel.take_input().is_empty() {
        return None;
    }
    reply::encryption_answer(&mut channel.output, true);
    channel.flush().await.ok()?;
    let Stream::Plain(stream) = channel.into_stream() else { return None };
    match TlsAcceptor::from(Arc::clone(&tls.config)).accept(stream).await {
        Ok(stream) => Some(Channel::new(Stream::Tls(Box::new(stream)), BytesMut::new(), AUTHENTICATION_BYTES_MAX)),
        Err(error) => {
            tracing::debug!(cause = %error, "TLS handshake failed");
            None
        }
    }
}

async fn authenticated(
    channel: &mut Channel,
    ends: Ends,
    minor: i32,
    parameters: Vec<(String, String)>,
    shared: &Arc<Shared>,
) -> Result<(Session, Registration, UserPlace, OwnedSemaphorePermit)> {
    let request = request(minor, parameters)?;
    let opened = log_in(channel, ends, &request, shared).await;
    match &opened {
        Ok((session, ..)) => session.record_login(),
        Err(error) => shared.mesh.logins.refused(ends.peer.ip(), &request.user, error.sqlstate()),
    }
    opened
}

async fn log_in(
    channel: &mut Channel,
    ends: Ends,
    request: &Request,
    shared: &Arc<Shared>,
) -> Result<(Session, Registration, UserPlace, OwnedSemaphorePermit)> {
    if shared.require_tls && !channel.is_encrypted() {
        return Err(Error::fatal(
            SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
            "this server accepts encrypted connections only",
        )
        .hint("Connect with sslmode=require."));
    }
    if request.minor > PROTOCOL_MINOR_MAX || !request.unknown_options.is_empty() {
        let minor = request.minor.min(PROTOCOL_MINOR_MAX);
        reply::negotiate_protocol_version(&mut channel.output, minor, request.unknown_options.clone());
    }
    let snapshot = shared.mesh.catalog.current();
    let verifier = snapshot.user(&request.user).and_then(|user| user.scram.clone());
    scram(channel, &request.user, verifier.as_ref(), shared).await?;
    if let Some(verifier) = &verifier {
        refuse_sample_password(&request.user, verifier, shared)?;
    }
    let name = &snapshot.catalog.mesh.name;
    if let Some(database) = &request.database
        && database != name
    {
        return Err(Error::fatal(SqlState::INVALID_CATALOG_NAME, format!("database \"{database}\" does not exist"))
            .hint(format!("The database of this mesh is \"{name}\".")));
    }
    let permit = Arc::clone(&shared.sessions).try_acquire_owned();
    let permit = permit.map_err(|_| Error::fatal(SqlState::TOO_MANY_CONNECTIONS, "sorry, too many clients already"))?;
    let place = shared.users.take(&request.user, shared.limits.connections_per_user).ok_or_else(|| {
        Error::fatal(SqlState::TOO_MANY_CONNECTIONS, format!("too many connections for role \"{}\"", request.user))
    })?;
    let secret_bytes = if request.minor >= 2 { LONG_SECRET_BYTES } else { SHORT_SECRET_BYTES };
    let registration = shared.cancels.register(secret_bytes);
    let settings = first_settings(request, shared)?;
    let (mesh, pid) = (Arc::clone(&shared.mesh), registration.pid);
    let session = Session::open(mesh, &request.user, settings, pid, ends.peer, ends.own).await?;
    reply::authentication_ok(&mut channel.output);
    Ok((session, registration, place, permit))
}

fn request(minor: i32, parameters: Vec<(String, String)>) -> Result<Request> {
    let mut request =
        Request { minor, user: String::new(), database: None, options: Vec::new(), unknown_options: Vec::new() };
    for (name, value) in parameters {
        match name.as_str() {
            "user" => request.user = value,
            "database" => request.database = Some(value).filter(|name| !name.is_empty()),
            "replication" if !matches!(value.as_str(), "false" | "off" | "no" | "0") => {
                return Err(Error::fatal(SqlState::FEATURE_NOT_SUPPORTED, "replication is not supported"));
            }
            "replication" => {}
            "options" => request.options.extend(command_line_options(&value)?),
            _ if name.starts_with("_pq_.") => request.unknown_options.push(name),
            _ => request.options.push((name, value)),
        }
    }
    if request.user.is_empty() {
        return Err(Error::fatal(
            SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
            "no PostgreSQL user name specified in startup packet",
        ));
    }
    Ok(request)
}

/// `-c name=value` and `--name=value`, separated by blanks; a backslash keeps the character after it.
fn command_line_options(text: &str) -> Result<Vec<(String, String)>> {
    let mut words = vec![String::new()];
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, words.last_mut()) {
            ('\\', Some(word)) => word.extend(chars.next()),
            (c, _) if c.is_whitespace() => words.push(String::new()),
            (c, Some(word)) => word.push(c),
            (_, None) => {}
        }
    }
    let mut words = words.into_iter().filter(|word| !word.is_empty());
    let mut options = Vec::new();
    while let Some(word) = words.next() {
        let assignment = match word.strip_prefix("--").or_else(|| word.strip_prefix("-c")) {
            Some("") => words.next().unwrap_or_default(),
            Some(rest) => rest.to_owned(),
            None => String::new(),
        };
        let Some((name, value)) = assignment.split_once('=') else {
            return Err(Error::fatal(
                SqlState::SYNTAX_ERROR,
                format!("invalid command-line argument for server process: {word}"),
            ));
        };
        options.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(options)
}

/// Settings of the server, then those of the startup message.
fn first_settings(request: &Request, shared: &Shared) -> Result<Settings> {
    let mut settings = Settings::new(&request.user, &shared.defaults)?;
    settings.limit_statement_timeout(shared.statement_timeout_max)?;
    for (name, value) in &request.options {
        settings
            .set_initial(name, value)
            .map_err(|error| Error::fatal(error.sqlstate(), error.message().to_owned()))?;
    }
    Ok(settings)
}

/// SCRAM-SHA-256, with channel binding where the connection is encrypted (section 55.3 "SASL Authentication").
async fn scram(channel: &mut Channel, user: &str, verifier: Option<&ScramVerifier>, shared: &Shared) -> Result<()> {
    let endpoint_hash =
        shared.tls.as_ref().filter(|_| channel.is_encrypted()).and_then(|tls| tls.endpoint_hash.clone());
    let mechanisms = scram::mechanisms(endpoint_hash.is_some());
    let mut exchange = Exchange::new(verifier, &shared.mock_secret, user, endpoint_hash);
    reply::authentication_sasl(&mut channel.output, &mechanisms);
    let mut first = Body(password_message(channel).await?);
    let mechanism = first.string()?;
    let length = first.int4()?;
    if usize::try_from(length).ok() != Some(first.0.remaining()) {
        return Err(violation("malformed SASL message"));
    }
    let challenge = exchange.client_first(&mechanism, &first.rest())?;
    reply::authentication_sasl_continue(&mut channel.output, challenge);
    let last = password_message(channel).await?;
    let proof = exchange.client_final(&last)?;
    reply::authentication_sasl_final(&mut channel.output, proof);
    Ok(())
}

async fn password_message(channel: &mut Channel) -> Result<bytes::Bytes> {
    channel.flush().await?;
    match channel.read().await? {
        Some(Frontend::Password(body)) => Ok(body),
        Some(_) => Err(violation("expected SASL response")),
        None => Err(violation("connection closed during authentication")),
    }
}

/// A password that is the user's own name is a sample's: it opens nothing beyond this machine.
fn refuse_sample_password(user: &str, verifier: &ScramVerifier, shared: &Shared) -> Result<()> {
    if shared.loopback || !password_matches(verifier, user) {
        return Ok(());
    }
    Err(Error::fatal(SqlState::INVALID_PASSWORD, format!("password authentication failed for user \"{user}\""))
        .hint("A password that equals the user name is accepted on loopback only; change it with pgmesh user passwd."))
}

fn violation(message: &'static str) -> Error {
    Error::fatal(SqlState::PROTOCOL_VIOLATION, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_split_as_postgres_does() {
        let options = |text: &str| command_line_options(text).unwrap();
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(options("-c statement_timeout=5s"), [pair("statement_timeout", "5s")]);
        assert_eq!(options("-cgeqo=off --search-path=a"), [pair("geqo", "off"), pair("search_path", "a")]);
        assert_eq!(options(r"-c application_name=a\ b"), [pair("application_name", "a b")]);
        assert!(command_line_options("-d 5").is_err());
        assert!(command_line_options("-c novalue").is_err());
    }

    #[test]
    fn a_startup_message_needs_a_user() {
        let error = request(0, vec![("database".to_owned(), "mesh".to_owned())]).err().unwrap();
        assert_eq!(error.sqlstate(), SqlState::INVALID_AUTHORIZATION_SPECIFICATION);
        assert!(error.is_fatal());
        let replication = vec![("user".to_owned(), "a".to_owned()), ("replication".to_owned(), "database".to_owned())];
        assert!(request(0, replication).is_err());
    }
}
