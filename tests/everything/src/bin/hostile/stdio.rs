//! The stdio transport: each request is answered in its own task, so one that hangs is alone.

use std::{error::Error, io, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Stdout},
    sync::Mutex,
};

use crate::{
    Manners,
    script::{self, Step},
};

const SLOWLY: Duration = Duration::from_millis(20);

pub async fn serve(manners: Arc<Manners>) -> Result<(), Box<dyn Error>> {
    let output = Arc::new(Mutex::new(tokio::io::stdout()));
    play(script::at_start(&manners.start), &output).await?;
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let (manners, output) = (Arc::clone(&manners), Arc::clone(&output));
        tokio::spawn(async move {
            let _ = play(script::answer(&manners, &line, ""), &output).await;
        });
    }
    // Not even the end of its input makes a mute server go.
    if manners.start == "mute" {
        std::future::pending::<()>().await;
    }
    Ok(())
}

async fn play(steps: Vec<Step>, output: &Mutex<Stdout>) -> io::Result<()> {
    for step in steps {
        match step {
            Step::Die => std::process::exit(9),
            Step::Hang => std::future::pending().await,
            Step::Message(message) => write(output, format!("{message}\n").as_bytes()).await?,
            Step::Raw(bytes) => write(output, &bytes).await?,
            Step::Repeat(message, times) => {
                let lines = format!("{message}\n").repeat(1000);
                for _ in 0..times / 1000 {
                    write(output, lines.as_bytes()).await?;
                }
            }
            Step::Trickle(message) => {
                let mut output = output.lock().await;
                for byte in format!("{message}\n").bytes() {
                    output.write_all(&[byte]).await?;
                    output.flush().await?;
                    tokio::time::sleep(SLOWLY).await;
                }
            }
        }
    }
    Ok(())
}

async fn write(output: &Mutex<Stdout>, bytes: &[u8]) -> io::Result<()> {
    let mut output = output.lock().await;
    output.write_all(bytes).await?;
    output.flush().await
}
