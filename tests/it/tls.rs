//! Encrypted connections: asked for or at once, with channel binding, and what is refused without them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use pgmesh::config::Config;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::raw::{Client, Login, request, startup_packet};
use crate::serving::{Serving, config};

const SSL: i32 = 80_877_103;

/// A server with a certificate of its own, which its clients trust.
struct Encrypted {
    server: Serving,
    certificate: CertificateDer<'static>,
    _folder: TempDir,
}

impl Encrypted {
    /// `change` may have it listen elsewhere.
    fn start(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let mut config = config();
        let (certificate, private) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
        std::fs::write(&certificate, key.cert.pem()).unwrap();
        std::fs::write(&private, key.signing_key.serialize_pem()).unwrap();
        config.tls_cert = Some(certificate);
        config.tls_key = Some(private);
        change(&mut config);
        Self { server: Serving::start(config), certificate: key.cert.der().clone(), _folder: folder }
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), self.server.address.port())
    }

    async fn shake_hands(&self, stream: TcpStream, alpn: &[&str]) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await
    }

    /// Asks for encryption first, as most clients do.
    async fn asked(&self) -> Client<TlsStream<TcpStream>> {
        let mut stream = TcpStream::connect(self.address()).await.unwrap();
        stream.write_all(&request(SSL)).await.unwrap();
        let mut answer = [0];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, *b"S");
        Client::over(self.shake_hands(stream, &[]).await.unwrap())
    }

    /// What channel binding of the type `tls-server-end-point` binds to (RFC 5929).
    fn digest(&self) -> Vec<u8> {
        ::aws_lc_rs::digest::digest(&::aws_lc_rs::digest::SHA256, &self.certificate).as_ref().to_vec()
    }
}

#[tokio::test]
async fn a_client_asks_for_encryption_and_may_bind_to_it() {
    let server = Encrypted::start(|_| {});
    let mut client = server.asked().await;
    client.startup(&Login::sample("sales_analyst")).await.unwrap();
    assert_eq!(client.rows("select count(*) from sales.orders").await, ["6000"]);
    let mut bound = server.asked().await;
    bound.startup(&Login { certificate: Some(server.digest()), ..Login::sample("sales_analyst") }).await.unwrap();
    assert_eq!(bound.rows("select current_user").await, ["sales_analyst"]);
    // someone in the middle has another certificate
    let mut diverted = server.asked().await;
    let login = Login { certificate: Some(vec![7; 32]), ..Login::sample("sales_analyst") };
    let refused = diverted.startup(&login).await.err().unwrap();
    assert_eq!((refused.kind, refused.field(b'S').as_str()), (b'E', "FATAL"), "{}", refused.line());
    // on loopback the plain way stays open
    Client::connect(server.address(), "sales_analyst").await;
}

#[tokio::test]
async fn a_client_may_begin_with_tls_at_once() {
    let server = Encrypted::start(|_| {});
    let stream = TcpStream::connect(server.address()).await.unwrap();
    let mut client = Client::over(server.shake_hands(stream, &["postgresql"]).await.unwrap());
    client.startup(&Login { certificate: Some(server.digest()), ..Login::sample("sales_analyst") }).await.unwrap();
    assert_eq!(client.rows("select 'direct'").await, ["direct"]);
    // without its name some other protocol could be speaking
    for other in [&[][..], &["http/1.1"]] {
        let stream = TcpStream::connect(server.address()).await.unwrap();
        if let Ok(stream) = server.shake_hands(stream, other).await {
            let mut client = Client::over(stream);
            drop(client.try_send(&startup_packet(0, &[("user", "sales_analyst")])).await);
            assert!(client.receive().await.is_none(), "{other:?}");
        }
    }
}

#[tokio::test]
async fn bytes_smuggled_in_before_encryption_are_refused() {
    let server = Encrypted::start(|_| {});
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let smuggled = [request(SSL), startup_packet(0, &[("user", "mesh_admin")])].concat();
    stream.write_all(&smuggled).await.unwrap();
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer).await);
    assert_eq!(answer, b"", "not even S");
}

#[tokio::test]
async fn encryption_inside_encryption_is_refused() {
    let server = Encrypted::start(|_| {});
    let mut client = server.asked().await;
    client.send(&request(SSL)).await;
    assert!(client.receive().await.is_none());
}

#[tokio::test]
async fn beyond_this_machine_everything_is_encrypted_and_samples_stay_out() {
    let server = Encrypted::start(|config| config.listen = "0.0.0.0:0".parse().unwrap());
    let plain = Client::login(server.address(), &Login::sample("sales_analyst")).await.err().unwrap();
    assert_eq!(plain.line(), "Error 28000 this server accepts encrypted connections only");
    assert!(plain.field(b'H').contains("sslmode=require"));
    let mut client = server.asked().await;
    let refused = client.startup(&Login::sample("sales_analyst")).await.err().unwrap();
    assert_eq!(refused.line(), "Error 28P01 password authentication failed for user \"sales_analyst\"");
}

#[tokio::test]
async fn samples_stay_out_without_encryption_too() {
    let mut config = config();
    config.listen = "0.0.0.0:0".parse().unwrap();
    config.insecure = true;
    let server = Serving::start(config);
    let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), server.address.port());
    for user in ["sales_analyst", "mesh_admin", "auditor"] {
        let refused = Client::login(address, &Login::sample(user)).await.err().unwrap();
        assert_eq!(refused.line(), format!("Error 28P01 password authentication failed for user \"{user}\""));
    }
}
