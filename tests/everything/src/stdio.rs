//! The stdio transport, with the messages of a refused era answered before the SDK sees them.

use std::{error::Error, sync::Arc};

use rmcp::ServiceExt;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    sync::Mutex,
};

use crate::{era::Era, server::Everything, shared::Shared};

const PIPE: usize = 64 * 1024;

type Output = Arc<Mutex<tokio::io::Stdout>>;

pub async fn serve(era: Era, shared: Arc<Shared>) -> Result<(), Box<dyn Error>> {
    let server = Everything::new(era, shared);
    if era == Era::Both {
        server.serve(rmcp::transport::stdio()).await?.waiting().await?;
        return Ok(());
    }
    let (near, far) = tokio::io::duplex(PIPE);
    let (from_server, to_server) = tokio::io::split(near);
    let output: Output = Arc::new(Mutex::new(tokio::io::stdout()));
    tokio::spawn(copy_lines(BufReader::new(from_server), Arc::clone(&output)));
    tokio::spawn(filter(era, to_server, output));
    server.serve(tokio::io::split(far)).await?.waiting().await?;
    Ok(())
}

async fn filter(era: Era, mut to_server: impl AsyncWrite + Unpin, output: Output) {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let message: Value = serde_json::from_str(&line).unwrap_or_default();
        let sent = match era.refuse(&message) {
            None => to_server.write_all(format!("{line}\n").as_bytes()).await,
            Some(error) => {
                let reply = json!({ "jsonrpc": "2.0", "id": message["id"], "error": error });
                write_line(&output, &reply.to_string()).await
            }
        };
        if sent.is_err() {
            break;
        }
    }
    let _ = to_server.shutdown().await;
}

async fn copy_lines(from: impl AsyncBufRead + Unpin, output: Output) {
    let mut lines = from.lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if write_line(&output, &line).await.is_err() {
            break;
        }
    }
}

async fn write_line(output: &Output, line: &str) -> std::io::Result<()> {
    let mut output = output.lock().await;
    output.write_all(format!("{line}\n").as_bytes()).await?;
    output.flush().await
}
