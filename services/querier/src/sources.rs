//! Texts of source files, which the symbolizer has.

use cairn_wire::cairn::symbols::v1::SourceRequest;
use cairn_wire::cairn::symbols::v1::file_service_client::FileServiceClient;

use crate::peers::Failure;
use crate::querier::Session;

impl Session {
    /// The text of a file as symbols of a build name it. None if sources of that build were not
    /// uploaded, or this file is not among them.
    pub(crate) async fn source(
        &self,
        build_id: &str,
        file: &str,
    ) -> Result<Option<String>, Failure> {
        let address = self.querier.symbolizer();
        let channel = self.querier.cx().channel(address)?;
        let mut request = tonic::Request::new(SourceRequest {
            tenant: self.tenant().to_string(),
            build_id: build_id.to_owned(),
            file: file.to_owned(),
        });
        // A report is worth more than the text beside it.
        request.set_timeout(self.deadline.left() / 2);
        let answer = FileServiceClient::new(channel)
            .max_decoding_message_size(self.querier.config().limits.message_bytes_max)
            .source(request)
            .await;
        match answer {
            Ok(answer) => Ok(Some(answer.into_inner().text)),
            // A symbolizer of an earlier build has no sources at all.
            Err(status)
                if matches!(
                    status.code(),
                    tonic::Code::NotFound | tonic::Code::Unimplemented
                ) =>
            {
                Ok(None)
            }
            Err(status) => Err(Failure::of(address, &status)),
        }
    }
}
