//! Documents from the records of an archive: pages, texts and what a WAT says of pages.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;
use serde_json::Value;

use super::http::media_type;
use super::{ArchiveRecord, Archives, HttpResponse, RecordKind};
use crate::charset;
use crate::document::{Document, Fields, Position, Provenance};
use crate::error::CorpusError;
use crate::fault::{SourceFault, SourceFaultKind};
use crate::source::{Entry, Reader, Shape, Source};

/// Bytes of blocks that are held together.
const BATCH: usize = 1 << 22;

/// The documents of an archive: a response or resource of HTML as `html`, of plain text as `text`; a conversion as `text`; a WAT's
/// metadata as `title`, `links` and `status`. Other records are passed over and counted by their kind.
pub(in crate::source) struct Pages {
    archive: Archives,
    file: Arc<Path>,
    limit: u64,
    ended: bool,
}

impl Pages {
    pub(in crate::source) fn open(source: &Source, file: Arc<Path>) -> Result<Self, CorpusError> {
        let archive = Archives::open(&file, source.bounds)?;
        Ok(Pages { archive, file, limit: source.bounds.record, ended: false })
    }
}

fn entry(record: &ArchiveRecord, file: &Arc<Path>, limit: u64) -> Entry {
    let url = record.url().map(str::to_owned);
    let position = Position::Offset(record.offset);
    match fields(record, limit) {
        Err(why) => {
            let kind = SourceFaultKind::Record(why);
            Entry::Fault(SourceFault { file: file.clone(), position, url, kind })
        }
        Ok(Content::PassedOver(kind)) => Entry::PassedOver(kind),
        Ok(Content::Document(shape, mut fields)) => {
            if let Some(date) = record.headers.get("WARC-Date") {
                fields.set("date", date);
            }
            let id = record.headers.get("WARC-Record-ID").map(|id| id.trim_matches(['<', '>']).to_owned());
            let id = id.unwrap_or_else(|| format!("{}:{}", file.display(), record.offset));
            let provenance = Provenance { file: file.clone(), position, url };
            Entry::Document(Document { id, shape, fields, provenance })
        }
    }
}

impl Reader for Pages {
    fn fill(&mut self, entries: &mut VecDeque<Entry>) -> bool {
        let mut batch = Vec::new();
        let mut bytes = 0;
        while bytes < BATCH {
            let Some(record) = self.archive.next() else {
                self.ended = true;
                break;
            };
            bytes += record.as_ref().map_or(0, |record| record.block.len()) + 256;
            batch.push(record);
        }
        let (file, limit) = (&self.file, self.limit);
        let made: Vec<Entry> = batch
            .into_par_iter()
            .map(|record| match record {
                Ok(record) => entry(&record, file, limit),
                Err(fault) => Entry::Fault(fault),
            })
            .collect();
        entries.extend(made);
        !self.ended || !entries.is_empty()
    }
}

enum Content {
    Document(Shape, Fields),
    PassedOver(&'static str),
}

fn fields(record: &ArchiveRecord, limit: u64) -> Result<Content, String> {
    match &record.kind {
        RecordKind::Response => response(record, limit),
        RecordKind::Resource => {
            let (media, charset) = media_type(record.headers.get("Content-Type").unwrap_or_default());
            Ok(page(&media, charset.as_deref(), &record.block))
        }
        RecordKind::Conversion => {
            let mut fields = Fields::new();
            fields.set("text", charset::decode(&record.block, Some("utf-8")).text);
            if let Some(languages) = record.headers.get("WARC-Identified-Content-Language") {
                fields.set("languages", languages);
            }
            Ok(Content::Document(Shape::Text, fields))
        }
        RecordKind::Metadata if record.block.trim_ascii_start().starts_with(b"{") => metadata(&record.block),
        kind => Ok(Content::PassedOver(kind.name())),
    }
}

fn response(record: &ArchiveRecord, limit: u64) -> Result<Content, String> {
    if record.url().is_some_and(|url| url.starts_with("dns:")) {
        return Ok(Content::PassedOver("answer of a name server"));
    }
    let response = match HttpResponse::parse(&record.block, limit) {
        Ok(response) => response,
        // An ARC of the nineties may hold the body alone, and says what it is.
        Err(why) => {
            let Some(stated) = record.headers.get("ARC-Content-Type") else { return Err(why) };
            let (media, charset) = media_type(stated);
            return Ok(page(&media, charset.as_deref(), &record.block));
        }
    };
    if !(200..300).contains(&response.status) {
        return Ok(Content::PassedOver("response without success"));
    }
    let (media, charset) = response.content_type();
    Ok(page(&media, charset.as_deref(), &response.body))
}

fn page(media: &str, charset: Option<&str>, body: &[u8]) -> Content {
    let field = match media {
        "text/html" | "application/xhtml+xml" => "html",
        "text/plain" => "text",
        _ => return Content::PassedOver("response of another type"),
    };
    if body.trim_ascii().is_empty() {
        return Content::PassedOver("response without a body");
    }
    let shape = if field == "html" { Shape::Page } else { Shape::Text };
    Content::Document(shape, Fields::from_iter([(field, charset::decode(body, charset).text)]))
}

/// What a WAT says of a response: its title, status and links. Of requests and of warcinfo records it says nothing of the kind.
fn metadata(block: &[u8]) -> Result<Content, String> {
    let value: Value = serde_json::from_slice(block).map_err(|error| format!("its metadata is no JSON: {error}"))?;
    let response = &value["Envelope"]["Payload-Metadata"]["HTTP-Response-Metadata"];
    if response.is_null() {
        return Ok(Content::PassedOver("metadata of no page"));
    }
    let html = &response["HTML-Metadata"];
    let mut fields = Fields::new();
    fields.set("title", html["Head"]["Title"].as_str().unwrap_or_default());
    fields.set("status", response["Response-Message"]["Status"].as_str().unwrap_or_default());
    let links: Vec<&str> =
        html["Links"].as_array().into_iter().flatten().filter_map(|link| link["url"].as_str()).collect();
    fields.set("links", links.join("\n"));
    Ok(Content::Document(Shape::PageMetadata, fields))
}
