//! A symbolizer that knows every address: `inner`, inlined into `outer` of `/src/app.c`. Of build
//! [`REFUSED`] it knows none, and of [`FETCHED`] none yet; of [`LONG`] an answer has room for one.

use cairn_chassis::{Options, Process, Routes};
use cairn_wire::cairn::symbols::v1::file_service_server::{FileService, FileServiceServer};
use cairn_wire::cairn::symbols::v1::symbol_service_server::{SymbolService, SymbolServiceServer};
use cairn_wire::cairn::symbols::v1::{
    BinarySymbols, DeleteRequest, DeleteResponse, Frame, Function, ListRequest, ListResponse,
    SourceRequest, SourceResponse, SymbolizeRequest, SymbolizeResponse, Symbols, UploadRequest,
    UploadResponse,
};
use tonic::{Request, Response, Status, Streaming};

pub(crate) const REFUSED: &str = "dead";
pub(crate) const FETCHED: &str = "beef";
pub(crate) const LONG: &str = "10e6";

/// Of `/src/app.c`.
pub(crate) const TEXT: &str = "int main() {}\n";

struct Known;

/// A process that serves it.
pub(crate) async fn start() -> Process {
    let process = Process::bind(Options::for_tests(), &["symbolizer"])
        .await
        .unwrap();
    process.run("symbolizer", |cx| async move {
        let routes = Routes::new().grpc(SymbolServiceServer::new(Known));
        cx.serve(routes.grpc(FileServiceServer::new(Known))).await
    });
    process.ready().await;
    process
}

fn unnamed(reason: &str, passing: bool) -> Symbols {
    Symbols {
        frames: Vec::new(),
        reason: reason.to_owned(),
        passing,
        left: false,
    }
}

#[tonic::async_trait]
impl SymbolService for Known {
    async fn symbolize(
        &self,
        request: Request<SymbolizeRequest>,
    ) -> Result<Response<SymbolizeResponse>, Status> {
        let binaries = request.get_ref().binaries.iter();
        let strings = ["", "inner", "_Zinner", "/src/app.c", "outer", "_Zouter"];
        let function = |name, system_name, start_line| Function {
            name,
            system_name,
            file: 3,
            start_line,
        };
        let frame = |function, line, column| Frame {
            function,
            line,
            column,
            inlined: function == 0,
        };
        Ok(Response::new(SymbolizeResponse {
            strings: strings.map(str::to_owned).to_vec(),
            functions: vec![function(1, 2, 5), function(4, 5, 18)],
            symbols: vec![
                Symbols {
                    frames: vec![frame(0, 7, 3), frame(1, 20, 9)],
                    ..Symbols::default()
                },
                unnamed("it was refused", false),
                unnamed("it is being fetched", true),
                Symbols {
                    left: true,
                    ..unnamed("there is no room", true)
                },
            ],
            binaries: binaries
                .map(|binary| BinarySymbols {
                    symbols: match binary.build_id.as_str() {
                        REFUSED => vec![1; binary.addresses.len()],
                        FETCHED => vec![2; binary.addresses.len()],
                        LONG => (0..binary.addresses.len())
                            .map(|at| if at == 0 { 0 } else { 3 })
                            .collect(),
                        _ => vec![0; binary.addresses.len()],
                    },
                })
                .collect(),
        }))
    }
}

#[tonic::async_trait]
impl FileService for Known {
    async fn source(
        &self,
        request: Request<SourceRequest>,
    ) -> Result<Response<SourceResponse>, Status> {
        let request = request.into_inner();
        match (request.build_id.as_str(), request.file.as_str()) {
            ("aa11", "/src/app.c") => Ok(Response::new(SourceResponse {
                text: TEXT.to_owned(),
                file: "app.c".to_owned(),
            })),
            _ => Err(Status::not_found("no such file")),
        }
    }

    async fn upload(
        &self,
        _: Request<Streaming<UploadRequest>>,
    ) -> Result<Response<UploadResponse>, Status> {
        Err(cairn_wire::unimplemented("files are not taken"))
    }

    async fn list(&self, _: Request<ListRequest>) -> Result<Response<ListResponse>, Status> {
        Err(cairn_wire::unimplemented("files are not taken"))
    }

    async fn delete(&self, _: Request<DeleteRequest>) -> Result<Response<DeleteResponse>, Status> {
        Err(cairn_wire::unimplemented("files are not taken"))
    }
}
