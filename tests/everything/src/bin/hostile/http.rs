//! HTTP/1.1 by hand, so that a response can break off anywhere.

use std::{error::Error, io, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

use crate::{
    Manners,
    script::{self, Step},
};

const LARGEST_BODY: usize = 16 * 1024 * 1024;
const SLOWLY: Duration = Duration::from_millis(20);
const SSE: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";

pub async fn serve(listen: &str, manners: Arc<Manners>) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(listen).await?;
    println!("listening http://{}/mcp", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let manners = Arc::clone(&manners);
        // A peer that goes away is none of the server's business.
        tokio::spawn(async move {
            let _ = connection(stream, &manners).await;
        });
    }
}

async fn connection(stream: TcpStream, manners: &Manners) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some((head, body)) = request(&mut stream).await? {
        if !head.starts_with("POST ") {
            status(&mut stream, "405 Method Not Allowed", "", "").await?;
            continue;
        }
        let headers = head.split_once('\n').unwrap_or_default().1;
        let mut steps = script::at_start(&manners.start);
        steps.extend(script::answer(manners, &body, headers));
        match steps.as_slice() {
            [] => status(&mut stream, "202 Accepted", "", "").await?,
            [Step::Message(message)] => {
                let session = if body.contains("\"initialize\"") && manners.handshake {
                    "mcp-session-id: hostile\r\n"
                } else {
                    ""
                };
                status(&mut stream, "200 OK", session, message).await?;
            }
            _ => return play(&mut stream, steps).await,
        }
    }
    Ok(())
}

async fn play(stream: &mut BufReader<TcpStream>, steps: Vec<Step>) -> io::Result<()> {
    stream.write_all(SSE.as_bytes()).await?;
    for step in steps {
        match step {
            Step::Die => return Ok(()),
            Step::Hang => std::future::pending().await,
            Step::Message(message) => {
                stream.write_all(format!("data: {message}\n\n").as_bytes()).await?;
            }
            Step::Raw(bytes) => stream.write_all(&bytes).await?,
            Step::Repeat(message, times) => {
                let events = format!("data: {message}\n\n").repeat(1000);
                for _ in 0..times / 1000 {
                    stream.write_all(events.as_bytes()).await?;
                }
            }
            Step::Trickle(message) => {
                for byte in format!("data: {message}\n\n").bytes() {
                    stream.write_all(&[byte]).await?;
                    tokio::time::sleep(SLOWLY).await;
                }
            }
        }
    }
    stream.flush().await
}

async fn status(
    stream: &mut BufReader<TcpStream>,
    status: &str,
    more: &str,
    body: &str,
) -> io::Result<()> {
    let length = body.len();
    let kind = if body.is_empty() { "" } else { "content-type: application/json\r\n" };
    let head = format!("HTTP/1.1 {status}\r\n{kind}{more}content-length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.flush().await
}

/// The head and the body of the next request, or none when the peer has closed.
async fn request(stream: &mut BufReader<TcpStream>) -> io::Result<Option<(String, String)>> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await? == 0 {
            return Ok(None);
        }
    }
    let header = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned())
    };
    let body = if header("transfer-encoding").is_some() {
        chunks(stream).await?
    } else {
        let length = header("content-length").and_then(|n| n.parse().ok()).unwrap_or(0);
        exactly(stream, length).await?
    };
    Ok(Some((head.replace('\r', ""), String::from_utf8_lossy(&body).into_owned())))
}

async fn chunks(stream: &mut BufReader<TcpStream>) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let size = usize::from_str_radix(line.trim(), 16).unwrap_or(0);
        let chunk = exactly(stream, size + 2).await?;
        if size == 0 || body.len() > LARGEST_BODY {
            return Ok(body);
        }
        body.extend_from_slice(&chunk[..size]);
    }
}

async fn exactly(stream: &mut BufReader<TcpStream>, length: usize) -> io::Result<Vec<u8>> {
    let mut body = vec![0; length.min(LARGEST_BODY)];
    stream.read_exact(&mut body).await?;
    Ok(body)
}
