//! Collecting pages from the web and from Common Crawl, politely, into a standard WARC.
//!
//! [`Web::crawl`] goes from start pages through links inside the hosts it was given, one request at a time, the queue first in first
//! out. It obeys robots.txt (RFC 9309) with its crawl-delay, waits between requests to a host, and bounds depth, pages, bytes, time and
//! retries. The archive is all the state there is: a crawl that was stopped, at any moment, reads its archive, takes every answer in it as
//! given, and asks only for what is missing, and once more for what had no answer.
//!
//! [`CommonCrawl::collect`] asks Common Crawl's index of addresses which captures there are, keeps what it says, chooses among them, and
//! reads just their records out of the crawl's archives.

mod archive;
mod client;
mod common_crawl;
mod date;
mod links;
mod robots;
mod store;
mod web;

pub use client::Manners;
pub use common_crawl::{Captures, CommonCrawl, CommonCrawlLedger, Fate, Stage};
pub use web::{Web, WebLedger};
