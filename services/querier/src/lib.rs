//! The querier: query APIs and the web page, planning, scanning blocks, merging partials.
