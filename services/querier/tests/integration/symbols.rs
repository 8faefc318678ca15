//! A symbolizer that knows every address: `inner`, inlined into `outer` of `/src/app.c`.

use cairn_chassis::{Options, Process, Routes};
use cairn_wire::cairn::symbols::v1::symbol_service_server::{SymbolService, SymbolServiceServer};
use cairn_wire::cairn::symbols::v1::{
    Frame, ListRequest, ListResponse, SymbolizeRequest, SymbolizeResponse, Symbols, UploadRequest,
    UploadResponse,
};
use tonic::{Request, Response, Status, Streaming};

struct Known;

/// A process that serves it.
pub(crate) async fn start() -> Process {
    let process = Process::bind(Options::for_tests(), &["symbolizer"])
        .await
        .unwrap();
    process.run("symbolizer", |cx| async move {
        cx.serve(Routes::new().grpc(SymbolServiceServer::new(Known)))
            .await
    });
    process.ready().await;
    process
}

fn frame(function: &str, start_line: i64, (line, column): (i64, i64)) -> Frame {
    Frame {
        function: function.to_owned(),
        system_name: format!("_Z{function}"),
        file: "/src/app.c".to_owned(),
        start_line,
        line,
        column,
        inlined: function == "inner",
    }
}

#[tonic::async_trait]
impl SymbolService for Known {
    async fn symbolize(
        &self,
        request: Request<SymbolizeRequest>,
    ) -> Result<Response<SymbolizeResponse>, Status> {
        let frames = vec![frame("inner", 5, (7, 3)), frame("outer", 18, (20, 9))];
        let symbols = request.get_ref().addresses.iter().map(|_| Symbols {
            frames: frames.clone(),
            reason: String::new(),
        });
        Ok(Response::new(SymbolizeResponse {
            symbols: symbols.collect(),
        }))
    }

    async fn upload(
        &self,
        _: Request<Streaming<UploadRequest>>,
    ) -> Result<Response<UploadResponse>, Status> {
        Ok(Response::new(Default::default()))
    }

    async fn list(&self, _: Request<ListRequest>) -> Result<Response<ListResponse>, Status> {
        Ok(Response::new(Default::default()))
    }
}
