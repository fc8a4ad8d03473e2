//! Connections that send each segment at once (`TCP_NODELAY`).
//!
//! kube's own connector leaves Nagle's algorithm on: the second of two small segments, such as a
//! request's body, waits until the server has acknowledged the first, which Linux delays by 40 ms.

use kube::client::ClientBuilder;
use kube::{Client, Config};

/// Returns a client with kube's layers for addresses and credentials over connections without delay.
/// Connections through a proxy are kube's.
pub(crate) fn client(config: Config) -> Result<Client, kube::Error> {
    #[cfg(feature = "rustls-tls")]
    if config.proxy_url.is_none() {
        return undelayed::client(config);
    }
    Ok(ClientBuilder::try_from(config)?.build())
}

#[cfg(feature = "rustls-tls")]
mod undelayed {
    use hyper_timeout::TimeoutConnector;
    use hyper_util::client::legacy::Builder;
    use hyper_util::client::legacy::connect::HttpConnector;
    use hyper_util::rt::TokioExecutor;
    use kube::client::{ClientBuilder, ConfigExt};
    use kube::{Client, Config};
    use tower::{BoxError, ServiceBuilder, ServiceExt};

    pub(super) fn client(config: Config) -> Result<Client, kube::Error> {
        let tls = config.rustls_https_connector_with_connector(tcp())?;
        let mut connector = TimeoutConnector::new(tls);
        connector.set_connect_timeout(config.connect_timeout);
        connector.set_read_timeout(config.read_timeout);
        connector.set_write_timeout(config.write_timeout);
        connector.set_reset_reader_on_write(config.reset_reader_on_write);
        let connections = Builder::new(TokioExecutor::new()).build(connector);
        let service = ServiceBuilder::new()
            .layer(config.base_uri_layer())
            .option_layer(config.auth_layer()?)
            .layer(config.extra_headers_layer()?)
            .service(connections.map_err(BoxError::from));
        Ok(ClientBuilder::new(service, config.default_namespace).build())
    }

    fn tcp() -> HttpConnector {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp
    }

    #[cfg(test)]
    mod tests {
        use tokio::net::TcpListener;

        use super::*;

        #[tokio::test]
        async fn connections_send_each_segment_at_once() {
            let server = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = server.local_addr().expect("an address");
            let uri = format!("https://{address}").parse().expect("a URI");
            let connection = tcp().oneshot(uri).await.expect("a connection");
            assert!(connection.inner().nodelay().expect("an option"));
        }
    }
}
