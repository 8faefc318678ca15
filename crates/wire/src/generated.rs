//! The generated modules, nested as their packages are since they refer to each other that way.
#![expect(
    clippy::all,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::too_many_lines,
    unused_qualifications,
    reason = "generated code"
)]

pub mod cairn {
    pub mod catalog {
        pub mod v1 {
            tonic::include_proto!("cairn.catalog.v1");
        }
    }
    pub mod ingest {
        pub mod v1 {
            tonic::include_proto!("cairn.ingest.v1");
        }
    }
    pub mod query {
        pub mod v1 {
            tonic::include_proto!("cairn.query.v1");
        }
    }
    pub mod symbols {
        pub mod v1 {
            tonic::include_proto!("cairn.symbols.v1");
        }
    }
}

pub mod debuginfo {
    pub mod v1alpha1 {
        tonic::include_proto!("debuginfo.v1alpha1");
    }
}

pub mod opentelemetry {
    pub mod proto {
        pub mod collector {
            pub mod profiles {
                pub mod v1development {
                    tonic::include_proto!("opentelemetry.proto.collector.profiles.v1development");
                }
            }
        }
    }
}

pub mod parca {
    pub mod debuginfo {
        pub mod v1alpha1 {
            tonic::include_proto!("parca.debuginfo.v1alpha1");
        }
    }
    pub mod metastore {
        pub mod v1alpha1 {
            tonic::include_proto!("parca.metastore.v1alpha1");
        }
    }
    pub mod profilestore {
        pub mod v1alpha1 {
            tonic::include_proto!("parca.profilestore.v1alpha1");
        }
    }
    pub mod query {
        pub mod v1alpha1 {
            tonic::include_proto!("parca.query.v1alpha1");
        }
    }
    pub mod scrape {
        pub mod v1alpha1 {
            tonic::include_proto!("parca.scrape.v1alpha1");
        }
    }
    pub mod share {
        pub mod v1alpha1 {
            tonic::include_proto!("parca.share.v1alpha1");
        }
    }
    pub mod telemetry {
        pub mod v1alpha1 {
            tonic::include_proto!("parca.telemetry.v1alpha1");
        }
    }
}

pub mod perftools {
    pub mod profiles {
        tonic::include_proto!("perftools.profiles");
    }
}

pub mod push {
    pub mod v1 {
        tonic::include_proto!("push.v1");
    }
}

pub mod querier {
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/querier/querier.v1.rs"));
    }
}

pub mod types {
    pub mod v1 {
        tonic::include_proto!("types.v1");
    }
}
