package konductor

import (
	"net"
	"net/http"
	"time"

	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/transport"
)

const (
	// pingAfter is how long a connection may be silent before it is asked whether it lives: a network
	// that drops packets without a word is noticed by nothing else. client-go's default is 30 s.
	pingAfter = 5 * time.Second
	// pingWithin is how long the answer may take before the connection is closed; client-go's default
	// is 15 s.
	pingWithin = 5 * time.Second
)

// connect makes the HTTP client of a config. Its connections are its own, so that their health checks
// can be quicker than client-go's, which all clients of a process share. Over plain HTTP there is no
// HTTP/2, and so none.
func connect(config *rest.Config) (rest.Interface, error) {
	if config.Transport != nil {
		return rest.RESTClientFor(config)
	}
	with, err := config.TransportConfig()
	if err != nil {
		return nil, err
	}
	secured, err := transport.TLSConfigFor(with)
	if err != nil {
		return nil, err
	}
	dial := (&net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}).DialContext
	if with.DialHolder != nil && with.DialHolder.Dial != nil {
		dial = with.DialHolder.Dial
	}
	proxy := with.Proxy
	if proxy == nil {
		proxy = utilnet.NewProxierWithNoProxyCIDR(http.ProxyFromEnvironment)
	}
	base := &http.Transport{
		Proxy: proxy, DialContext: dial, TLSClientConfig: secured,
		TLSHandshakeTimeout: 10 * time.Second, MaxIdleConnsPerHost: 25,
		IdleConnTimeout: 90 * time.Second, DisableCompression: with.DisableCompression,
		ForceAttemptHTTP2: true,
		HTTP2:             &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingWithin},
	}
	wrapped, err := transport.HTTPWrappersForConfig(with, base)
	if err != nil {
		return nil, err
	}
	return rest.RESTClientForConfigAndClient(config, &http.Client{Transport: wrapped})
}
