//! Enough of S3 to read and to write a table: one bucket whose content depends on who asks.

use std::path::{Path, PathBuf};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use url::Url;

/// Answers like S3 for one bucket: `lake/<key>` is a file under the folder that belongs to the request's access key.
pub(crate) async fn serve(listener: TcpListener, folders: Vec<(&'static str, PathBuf)>) {
    while let Ok((mut socket, _)) = listener.accept().await {
        let folders = folders.clone();
        tokio::spawn(async move {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if socket.read(&mut byte).await.unwrap_or(0) == 0 {
                    return;
                }
                request.push(byte[0]);
            }
            let request = String::from_utf8(request).unwrap();
            let mut content = vec![0; content_length(&request)];
            socket.read_exact(&mut content).await.unwrap();
            let (head, body) = answer(&request, &content, &folders);
            socket.write_all(head.as_bytes()).await.unwrap();
            socket.write_all(&body).await.unwrap();
        });
    }
}

fn content_length(request: &str) -> usize {
    let lower = request.to_ascii_lowercase();
    lower.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0)
}

/// Puts an object whole, and with `if-none-match` only where there is none.
fn put(path: &Path, content: &[u8], create: bool) -> &'static str {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let staged = path.with_extension(format!("staged-{}", rand::random::<u64>()));
    std::fs::write(&staged, content).unwrap();
    let linked = if create { std::fs::hard_link(&staged, path) } else { std::fs::copy(&staged, path).map(drop) };
    std::fs::remove_file(&staged).unwrap();
    if linked.is_ok() { "200 OK" } else { "412 Precondition Failed" }
}

fn answer(request: &str, content: &[u8], folders: &[(&'static str, PathBuf)]) -> (String, Vec<u8>) {
    let plain =
        |status: &str| (format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"), Vec::new());
    let Some((_, folder)) = folders.iter().find(|(key, _)| request.contains(&format!("Credential={key}/"))) else {
        return plain("403 Forbidden");
    };
    let mut words = request.split_whitespace();
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    let url = Url::parse(&format!("http://h{target}")).unwrap();
    let key = url.path().trim_start_matches("/lake").trim_start_matches('/');
    let date = "Sat, 21 Nov 2026 00:00:00 GMT";
    if key.is_empty() {
        let asked =
            |name: &str| url.query_pairs().find(|(k, _)| k == name).map(|(_, v)| v.to_string()).unwrap_or_default();
        let (prefix, after) = (asked("prefix"), asked("start-after"));
        let mut keys: Vec<(String, u64)> = std::fs::read_dir(folder.join(prefix.trim_end_matches('/')))
            .map(|entries| entries.map(Result::unwrap).filter(|entry| entry.path().is_file()).collect::<Vec<_>>())
            .unwrap_or_default()
            .iter()
            .map(|entry| (format!("{prefix}{}", entry.file_name().to_str().unwrap()), entry.metadata().unwrap().len()))
            .filter(|(key, _)| *key > after)
            .collect();
        keys.sort();
        let entries = keys.iter().map(|(key, size)| {
            format!(
                "<Contents><Key>{key}</Key><LastModified>2026-11-21T00:00:00.000Z</LastModified>\
                 <ETag>x</ETag><Size>{size}</Size></Contents>"
            )
        });
        let contents = entries.collect::<Vec<_>>().concat();
        let body =
            format!("<ListBucketResult><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>").into_bytes();
        return (format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len()), body);
    }
    if method == "PUT" {
        let status = put(&folder.join(key), content, request.to_ascii_lowercase().contains("\r\nif-none-match: *"));
        let head =
            format!("HTTP/1.1 {status}\r\nconnection: close\r\netag: x{}\r\ncontent-length: 0\r\n\r\n", content.len());
        return (head, Vec::new());
    }
    if method == "POST" {
        // deletions; nobody relies on them
        return plain("200 OK");
    }
    let Ok(bytes) = std::fs::read(folder.join(key)) else { return plain("404 Not Found") };
    let range =
        request.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("range: bytes=").map(str::to_owned));
    let (status, range_header, body) = match range.as_deref().and_then(|range| range.split_once('-')) {
        Some((from, to)) => {
            let size = bytes.len();
            let to = to.parse::<usize>().map_or(size, |to| size.min(to + 1));
            let from = from.parse().unwrap_or_else(|_| size - to);
            let header = format!("content-range: bytes {from}-{}/{size}\r\n", to - 1);
            ("206 Partial Content", header, bytes[from..to].to_vec())
        }
        None => ("200 OK", String::new(), bytes),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n{range_header}etag: x{}\r\nlast-modified: {date}\r\n\r\n",
        body.len(),
        body.len()
    );
    (head, if method == "HEAD" { Vec::new() } else { body })
}
