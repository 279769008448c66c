//! Mail: text and HTML beside each other, in one thread for each outage.
//!
//! The picture of HTML is made of table cells: mail programs drop SVG and `data:`, and a picture from elsewhere would tell who reads.

use std::fmt::Write;
use std::time::{Duration, SystemTime};

use lettre::message::header::{HeaderName, HeaderValue, InReplyTo, MessageId, References};
use lettre::message::{Mailbox, MultiPart, SinglePart};
use lettre::{Address, Message as Mail};
use plimsoll_run::EmailSettings;

use crate::message::{Message, Tone};
use crate::send::Remark;
use crate::text::{html, moment};

/// Why a mail cannot be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MailError {
    #[error("`{address}` is not an address of mail")]
    Address { address: String },
    #[error("the mail cannot be written: {0}")]
    Write(#[from] lettre::error::Error),
}

pub(crate) fn address(text: &str) -> Result<Address, MailError> {
    text.parse().map_err(|_| MailError::Address { address: crate::text::plain(text, 200) })
}

/// Writes a mail.
pub(crate) fn mail(
    message: &Message,
    remarks: &[Remark],
    settings: &EmailSettings,
    now: SystemTime,
) -> Result<Mail, MailError> {
    let from = address(&settings.from)?;
    let domain = from.domain().to_owned();
    let id = |name: &str| format!("<{name}@{domain}>");
    let mut mail = Mail::builder()
        .from(Mailbox::new(Some("Plimsoll".to_owned()), from))
        .subject(format!("[Plimsoll] {}", message.title))
        .date(now);
    for to in &settings.to {
        mail = mail.to(Mailbox::new(None, address(to)?));
    }
    mail = match &message.thread {
        Some((outage, true)) => mail.header(MessageId::from(id(outage))),
        Some((outage, false)) => mail
            .header(MessageId::from(id(&message.id)))
            .header(InReplyTo::from(id(outage)))
            .header(References::from(id(outage))),
        None => mail.header(MessageId::from(id(&message.id))),
    };
    // Nobody's holiday notice is an answer to it (RFC 3834).
    let automatic = HeaderName::new_from_ascii_str("Auto-Submitted");
    mail = mail.raw_header(HeaderValue::new(automatic, "auto-generated".to_owned()));
    let body = MultiPart::alternative()
        // What separates the parts is in neither: the id is not to be guessed.
        .boundary(format!("=_{}", message.id))
        .singlepart(SinglePart::plain(text(message, remarks)))
        .singlepart(SinglePart::html(page(message, remarks)));
    Ok(mail.multipart(body)?)
}

fn text(message: &Message, remarks: &[Remark]) -> String {
    let mut text = format!("{}\r\n", message.title);
    let mut line = |line: &str| {
        let _ = write!(text, "{line}\r\n");
    };
    if !message.lines.is_empty() {
        line("");
        message.lines.iter().for_each(|text| line(&format!("- {text}")));
    }
    if let Some(picture) = &message.picture {
        line("");
        line(&picture.text());
        line(&picture.label);
    }
    line("");
    message.facts.iter().for_each(|(name, value)| line(&format!("{name}: {value}")));
    if let Some(link) = &message.link {
        line("");
        line(&format!("{}: {}", link.text, link.url));
    }
    line("");
    line(&format!("Plimsoll, {}", moment(message.at)));
    remarks.iter().for_each(|remark| line(&remark.to_string()));
    text
}

fn page(message: &Message, remarks: &[Remark]) -> String {
    let colour = match message.tone {
        Tone::Bad => "#b3261e",
        Tone::Warning => "#8a5300",
        Tone::Good => "#1b6e3c",
        Tone::Neutral => "#1f5fa8",
    };
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title></head>\
         <body style=\"font-family:sans-serif;font-size:15px;line-height:1.4\">\
         <h1 style=\"font-size:19px;color:{colour}\">{title}</h1>",
        title = html(&message.title)
    );
    if !message.lines.is_empty() {
        let items: String = message.lines.iter().map(|line| format!("<li>{}</li>", html(line))).collect();
        let _ = write!(page, "<ul>{items}</ul>");
    }
    if let Some(picture) = &message.picture {
        let _ =
            write!(page, "{}<p style=\"font-size:13px\">{}</p>", picture.html(colour), html(&picture.label));
    }
    let rows: String = message
        .facts
        .iter()
        .map(|(name, value)| {
            format!(
                "<tr><th scope=\"row\" style=\"text-align:left;padding-right:12px\">{}</th><td>{}</td></tr>",
                html(name),
                html(value)
            )
        })
        .collect();
    if !rows.is_empty() {
        let _ = write!(page, "<table>{rows}</table>");
    }
    if let Some(link) = &message.link {
        let _ = write!(page, "<p><a href=\"{}\">{}</a></p>", html(&link.url), html(link.text));
    }
    let _ = write!(page, "<p style=\"font-size:13px\">Plimsoll, {}</p>", moment(message.at));
    for remark in remarks {
        let _ = write!(page, "<p style=\"font-size:13px\">{}</p>", html(&remark.to_string()));
    }
    page.push_str("</body></html>");
    page
}

/// Seconds since 1970 as the time that mail is dated with.
pub(crate) fn date(unix: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(unix.min(1 << 40))
}
