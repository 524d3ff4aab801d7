//! Says a statement to a server and keeps every byte of the answer; compares two answers.
//!
//! Two runs of one statement in one world differ in: the random id of an internal error, the time that EXPLAIN ANALYZE
//! measured, the order of rows that have none, how many rows came before an error, and the folder that the mesh lies in.
//! These are evened out and nothing else.

use std::path::Path;

use bytes::Bytes;

use super::statement::{Parameter, Said, Statement};
use crate::raw::{Client, Message, bind_with, describe, execute, parse, query, sync};

/// Everything that a server said, up to the last ReadyForQuery.
pub struct Answer {
    pub messages: Vec<Message>,
}

/// Says it all and hears it all.
pub async fn ask(client: &mut Client, said: &Said) -> Answer {
    let mut messages = Vec::new();
    match said {
        Said::Simple(queries) => {
            let all: Vec<u8> = queries.iter().flat_map(|sql| query(sql)).collect();
            client.send(&all).await;
            hear(client, queries.len(), &mut messages).await;
        }
        Said::Extended { sql, parameters, binary, rows_max } => {
            let oids: Vec<i32> = parameters.iter().map(|parameter| parameter.oid).collect();
            let format = |parameter: &Parameter| i16::from(*binary && parameter.bytes.is_some());
            let formats: Vec<i16> = parameters.iter().map(format).collect();
            let value = |parameter: &Parameter| match &parameter.bytes {
                Some(bytes) if *binary => bytes.clone(),
                _ => parameter.text.clone().into_bytes(),
            };
            let values: Vec<Vec<u8>> = parameters.iter().map(value).collect();
            let values: Vec<Option<&[u8]>> = values.iter().map(|value| Some(value.as_slice())).collect();
            let results: &[i16] = if *binary { &[1] } else { &[] };
            let mut said = [
                parse("", sql, &oids),
                describe(b'S', ""),
                bind_with("", "", &formats, &values, results),
                describe(b'P', ""),
                execute("", *rows_max),
            ]
            .concat();
            if *rows_max > 0 {
                // some more steps, and all that is left
                said.extend([execute("", *rows_max), execute("", *rows_max), execute("", 0)].concat());
            }
            said.extend(sync());
            client.send(&said).await;
            hear(client, 1, &mut messages).await;
        }
    }
    Answer { messages }
}

async fn hear(client: &mut Client, ready: usize, messages: &mut Vec<Message>) {
    let mut heard = 0;
    while heard < ready {
        let Some(message) = client.receive().await else {
            messages.push(Message { kind: 0, body: Bytes::from_static(b"closed") });
            return;
        };
        heard += usize::from(message.kind == b'Z');
        messages.push(message);
    }
}

impl Answer {
    pub fn is_closed(&self) -> bool {
        self.messages.last().is_none_or(|message| message.kind == 0)
    }

    pub fn error(&self) -> Option<&Message> {
        self.messages.iter().find(|message| message.kind == b'E')
    }

    pub fn row_count(&self) -> usize {
        self.messages.iter().filter(|message| matches!(message.kind, b'D' | b'd')).count()
    }

    /// As people read it.
    pub fn lines(&self) -> String {
        let told = |message: &Message| match message.kind {
            b'E' | b'N' => format!("{} | {} | {}", message.line(), message.field(b'D'), message.field(b'H')),
            _ => message.line(),
        };
        self.messages.iter().map(told).collect::<Vec<_>>().join("\n    ")
    }

    /// What must be the same in both worlds.
    pub fn comparable(&self, statement: &Statement, folder: &Path) -> Vec<(u8, Vec<u8>)> {
        let mut comparable = Vec::new();
        let mut rows: Vec<(u8, Vec<u8>)> = Vec::new();
        // a plan that reads nothing, because its condition cannot hold, measures time and no rows
        let reads_nothing = !self.messages.iter().any(|message| contains(&message.body, b"ScanExec: table="));
        for message in &self.messages {
            let mut body = evened(message, folder);
            if statement.form == "explain" && reads_nothing && message.kind == b'D' {
                body = without_metrics(&body);
            }
            if matches!(message.kind, b'D' | b'd') {
                rows.push((message.kind, body));
                continue;
            }
            if message.kind == b'E' {
                rows.clear();
            }
            if !statement.ordered {
                rows.sort();
            }
            comparable.append(&mut rows);
            comparable.push((message.kind, body));
        }
        comparable
    }

    /// The rows and whether there was an error: what a copy of the visible part has too.
    pub fn rows(&self, statement: &Statement) -> Vec<(u8, Vec<u8>)> {
        let kept = |kind: &u8| matches!(kind, b'D' | b'T' | b'C' | b'E' | b's');
        let mut rows = self.comparable(statement, Path::new("/nowhere at all"));
        rows.retain(|(kind, _)| kept(kind));
        rows
    }
}

fn evened(message: &Message, folder: &Path) -> Vec<u8> {
    let body = message.body.to_vec();
    match message.kind {
        b'E' | b'N' => replace_after(&body, b"internal error ", 16),
        b'D' if contains(&body, b"Execution Time: ") => b"Execution Time".to_vec(),
        b'D' => without_folder(&body, folder),
        _ => body,
    }
}

/// A line of a plan up to what was measured. Its length is that of the times.
fn without_metrics(body: &[u8]) -> Vec<u8> {
    match position(body, b", metrics=[") {
        Some(end) => body.get(6..end).unwrap_or_default().to_vec(),
        None => body.to_vec(),
    }
}

/// The id behind the words.
fn replace_after(body: &[u8], words: &[u8], length: usize) -> Vec<u8> {
    let mut body = body.to_vec();
    let mut from = 0;
    while let Some(at) = position(&body[from..], words) {
        let start = from + at + words.len();
        let end = (start + length).min(body.len());
        body[start..end].iter_mut().filter(|byte| byte.is_ascii_hexdigit()).for_each(|byte| *byte = b'0');
        from = start;
    }
    body
}

/// Folders of both worlds have names of one length, so that lengths stay right.
fn without_folder(body: &[u8], folder: &Path) -> Vec<u8> {
    let name = folder.as_os_str().as_encoded_bytes();
    let mut body = body.to_vec();
    while let Some(at) = position(&body, name) {
        body[at..at + name.len()].fill(b'.');
    }
    body
}

fn contains(body: &[u8], words: &[u8]) -> bool {
    position(body, words).is_some()
}

fn position(body: &[u8], words: &[u8]) -> Option<usize> {
    body.windows(words.len()).position(|window| window == words)
}
