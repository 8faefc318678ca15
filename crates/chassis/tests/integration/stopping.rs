use std::sync::Arc;
use std::time::Duration;

use axum::routing::get;
use cairn_chassis::{Options, Process, Routes};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::client;

#[tokio::test]
async fn requests_in_flight_finish_before_services_close() {
    let process = Process::bind(Options::for_tests(), &["some"])
        .await
        .unwrap();
    let (entered, finish) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let order = Arc::new(Mutex::new(Vec::new()));
    let slow = {
        let (entered, finish, order) = (entered.clone(), finish.clone(), order.clone());
        async move || {
            entered.notify_one();
            finish.notified().await;
            order.lock().push("answered");
            "slow"
        }
    };
    let (draining, closing) = (process.context("some").draining(), order.clone());
    process.run("some", async move |cx| {
        let (stopping, ending) = (cx.stopping(), closing.clone());
        cx.own("flush", async move {
            stopping.cancelled().await;
            ending.lock().push("task saw stopping");
        });
        let http = axum::Router::new().route("/slow", get(slow));
        cx.serve(Routes::new().http(http)).await?;
        closing.lock().push("closed");
        Ok(())
    });
    process.ready().await;

    let (address, admin) = (process.address(), process.admin_address());
    let request = tokio::spawn(async move { client::get(address, "/slow").await });
    entered.notified().await;
    let stop = tokio::spawn(process.stop());
    draining.cancelled().await;
    let ready = client::get(admin, "/ready").await;
    assert_eq!(ready.status(), 503);
    assert!(client::text(&ready).starts_with("stopping"));
    assert!(
        order.lock().is_empty(),
        "nothing closes while a request is in flight"
    );

    finish.notify_one();
    let answer = request.await.unwrap();
    assert_eq!(client::text(&answer), "slow");
    stop.await.unwrap().unwrap();
    assert_eq!(order.lock().len(), 3);
    assert_eq!(order.lock()[0], "answered");
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

async fn idle() -> Process {
    let mut options = Options::for_tests();
    options.server.shutdown_deadline = Duration::from_millis(100);
    let process = Process::bind(options, &["some"]).await.unwrap();
    process.run("some", async |cx| cx.serve(Routes::new()).await);
    process
}

fn out_of_range() {
    panic!("out of range")
}

#[tokio::test]
async fn a_task_that_fails_panics_or_ends_stops_the_process_which_names_it() {
    let fails = async || {
        let process = idle().await;
        process
            .context("some")
            .own("flush", async { anyhow::bail!("disk full") });
        process.finished().await
    };
    let error = format!("{:#}", fails().await.unwrap_err());
    assert!(
        error.contains("some/flush") && error.contains("disk full"),
        "{error}"
    );

    let panics = async || {
        let process = idle().await;
        process
            .context("some")
            .own("flush", async { out_of_range() });
        process.finished().await
    };
    let error = format!("{:#}", panics().await.unwrap_err());
    assert!(
        error.contains("some/flush") && error.contains("out of range"),
        "{error}"
    );

    let ends = async || {
        let process = idle().await;
        process.context("some").own("flush", async {});
        process.finished().await
    };
    let error = format!("{:#}", ends().await.unwrap_err());
    assert!(error.contains("some/flush"), "{error}");
}

#[tokio::test]
async fn a_service_that_fails_stops_the_process() {
    let process = Process::bind(Options::for_tests(), &["some"])
        .await
        .unwrap();
    process.run("some", async |_| anyhow::bail!("no store"));
    let error = format!("{:#}", process.finished().await.unwrap_err());
    assert!(
        error.contains("service some") && error.contains("no store"),
        "{error}"
    );
}

#[tokio::test]
async fn what_does_not_stop_in_time_is_named() {
    let process = idle().await;
    process
        .context("some")
        .own("stuck", std::future::pending::<()>());
    process.ready().await;
    let error = format!("{:#}", process.stop().await.unwrap_err());
    assert!(error.contains("some/stuck"), "{error}");
}

#[tokio::test]
async fn compute_returns_what_the_work_returns_and_panics_as_it_does() {
    let process = idle().await;
    let cx = process.context("some");
    assert_eq!(cx.compute(|| 6 * 7).await, 42);
    let panicked = tokio::spawn(async move { cx.compute(|| panic!("bad")).await }).await;
    assert!(panicked.unwrap_err().is_panic());
    process.stop().await.unwrap();
}
