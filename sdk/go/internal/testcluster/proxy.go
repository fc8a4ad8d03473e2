package testcluster

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"k8s.io/client-go/rest"
)

// Proxy stands between a client and the API server, and makes the faults that a network and a
// server make.
type Proxy struct {
	// Config leads a client through the proxy.
	Config *rest.Config

	address string
	forward *httputil.ReverseProxy

	mu       sync.Mutex
	server   *http.Server
	watches  map[*watching]bool
	faults   []*Fault
	requests []string
	managers []string
	changed  chan struct{} // closed and replaced at each change of what is above
}

type watching struct{ cut context.CancelFunc }

// Fault is what becomes of requests of a verb on a resource, such as "create claims".
type Fault struct {
	// Verb is get, list, create, patch, delete or watch.
	Verb, Resource string
	// Times is how often; 0 is until the fault is mended.
	Times int
	// Code answers with this status, without the API server.
	Code int
	// LoseAnswer lets the API server carry it out, and breaks the connection then.
	LoseAnswer bool
	// Poison answers with objects whose managed fields no client can read.
	Poison bool
	// Hang lets it wait until its sender gives up, or the fault is mended.
	Hang bool
	// Oldest answers 410 to watches from versions before this one.
	Oldest uint64

	mended chan struct{}
	seen   int
}

// NewProxy starts a proxy in front of a cluster.
func NewProxy(t testing.TB, to *rest.Config) *Proxy {
	t.Helper()
	target, _, err := rest.DefaultServerUrlFor(to)
	if err != nil {
		t.Fatal(err)
	}
	transport, err := rest.TransportFor(to)
	if err != nil {
		t.Fatal(err)
	}
	quiet := log.New(io.Discard, "", 0)
	made := &Proxy{
		watches: map[*watching]bool{}, changed: make(chan struct{}),
		forward: &httputil.ReverseProxy{
			Transport: transport, FlushInterval: -1, ErrorLog: quiet,
			Rewrite: func(r *httputil.ProxyRequest) {
				r.SetURL(&url.URL{Scheme: target.Scheme, Host: target.Host})
			},
			ErrorHandler: func(http.ResponseWriter, *http.Request, error) {
				panic(http.ErrAbortHandler)
			},
		},
	}
	made.address = reserve(t)
	made.Up(t)
	t.Cleanup(made.Down)
	made.Config = &rest.Config{Host: "http://" + made.address}
	return made
}

// reserve returns an address on loopback that nobody else is given, while the proxy is down, too. Its
// socket never listens.
func reserve(t testing.TB) string {
	t.Helper()
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(socket) })
	if err := syscall.SetsockoptInt(socket, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Bind(socket, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	bound, err := syscall.Getsockname(socket)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", bound.(*syscall.SockaddrInet4).Port)
}

// Up accepts connections, at the same address as before.
func (p *Proxy) Up(t testing.TB) {
	t.Helper()
	listener, err := net.Listen("tcp", p.address)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: p, ErrorLog: log.New(io.Discard, "", 0)}
	p.mu.Lock()
	p.server = server
	p.mu.Unlock()
	go func() { _ = server.Serve(listener) }()
}

// Down breaks all connections and refuses new ones, as an API server that restarts.
func (p *Proxy) Down() {
	p.mu.Lock()
	server := p.server
	p.mu.Unlock()
	_ = server.Close()
	p.CutWatches()
}

// CutWatches breaks the watches that are open.
func (p *Proxy) CutWatches() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for one := range p.watches {
		one.cut()
	}
}

// Break begins a fault.
func (p *Proxy) Break(fault Fault) *Fault {
	fault.mended = make(chan struct{})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = append(p.faults, &fault)
	return &fault
}

// Mend ends a fault.
func (p *Proxy) Mend(fault *Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.faults, fault); i >= 0 {
		p.faults = slices.Delete(p.faults, i, i+1)
		close(fault.mended)
	}
}

// Requests are those that have arrived, such as "watch gates".
func (p *Proxy) Requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.requests)
}

// Managers are the field managers of the writes that have arrived, deletions aside.
func (p *Proxy) Managers() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.managers)
}

// Await waits until so many requests of a verb and resource have arrived, for watches until the
// answer has begun.
func (p *Proxy) Await(ctx context.Context, request string, times int) error {
	for {
		p.mu.Lock()
		seen, changed := 0, p.changed
		for _, one := range p.requests {
			if one == request {
				seen++
			}
		}
		all := slices.Clone(p.requests)
		p.mu.Unlock()
		if seen >= times {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%d of %d times %q: %w; there were %q",
				seen, times, request, ctx.Err(), all)
		}
	}
}

func (p *Proxy) note(request string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests = append(p.requests, request)
	close(p.changed)
	p.changed = make(chan struct{})
}

// ServeHTTP forwards a request, or lets it fail.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	verb, resource := named(r)
	if slices.Contains([]string{"create", "update", "patch"}, verb) {
		p.mu.Lock()
		p.managers = append(p.managers, r.URL.Query().Get("fieldManager"))
		p.mu.Unlock()
	}
	fault := p.fault(verb, resource, r.URL.Query().Get("resourceVersion"))
	if verb != "watch" || fault != nil {
		p.note(verb + " " + resource)
	}
	switch {
	case fault == nil:
	case fault.Poison:
		w = &poisoner{ResponseWriter: w}
	case fault.Hang:
		select {
		case <-r.Context().Done():
		case <-fault.mended:
		}
		panic(http.ErrAbortHandler)
	case fault.Oldest > 0, verb == "watch" && fault.Code == http.StatusGone:
		// The server reports a version that is too old as an event.
		gone := map[string]any{"type": "ERROR", "object": status(http.StatusGone)}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(gone)
		return
	case fault.Code != 0:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(fault.Code)
		_ = json.NewEncoder(w).Encode(status(fault.Code))
		return
	case fault.LoseAnswer:
		p.forward.ServeHTTP(&deaf{header: http.Header{}}, r)
		panic(http.ErrAbortHandler)
	}
	if verb != "watch" {
		p.forward.ServeHTTP(w, r)
		return
	}
	ctx, cut := context.WithCancel(r.Context())
	one := &watching{cut}
	p.mu.Lock()
	p.watches[one] = true
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.watches, one)
		p.mu.Unlock()
		cut()
	}()
	p.note(verb + " " + resource)
	p.forward.ServeHTTP(w, r.WithContext(ctx))
	if ctx.Err() != nil {
		panic(http.ErrAbortHandler)
	}
}

// fault finds the fault of a request, which is used up by it. A watch begins at a version.
func (p *Proxy) fault(verb, resource, version string) *Fault {
	from, err := strconv.ParseUint(version, 10, 64)
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, one := range p.faults {
		if (one.Verb != "" && one.Verb != verb) ||
			(one.Resource != "" && one.Resource != resource) ||
			(one.Oldest > 0 && (err != nil || from >= one.Oldest)) {
			continue
		}
		one.seen++
		if one.Times > 0 && one.seen == one.Times {
			p.faults = slices.Delete(p.faults, i, i+1)
		}
		return one
	}
	return nil
}

// named gives a request's verb and resource, as RBAC names them.
func named(r *http.Request) (string, string) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	resource := parts[len(parts)-1]
	if i := slices.Index(parts, "namespaces"); i >= 0 && len(parts) > i+2 {
		resource = parts[i+2]
	}
	switch {
	case r.URL.Query().Get("watch") != "":
		return "watch", resource
	case r.Method == http.MethodPost:
		return "create", resource
	case r.Method == http.MethodPut:
		return "update", resource
	case r.Method == http.MethodGet && resource == parts[len(parts)-1]:
		return "list", resource
	}
	return strings.ToLower(r.Method), resource
}

func status(code int) map[string]any {
	reasons := map[int]string{401: "Unauthorized", 403: "Forbidden", 404: "NotFound",
		409: "Conflict", 410: "Expired", 429: "TooManyRequests", 500: "InternalError", 503: "ServiceUnavailable"}
	return map[string]any{
		"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code,
		"reason": reasons[code], "message": fmt.Sprintf("the proxy answers %d", code),
	}
}

// poisoned are managed fields that others may have stored: of a time that is out of range, and nested
// more deeply than some decoders go.
var poisoned = []byte(`"metadata":{"managedFields":[{"time":"10000-01-01T00:00:00Z","fieldsV1":` +
	strings.Repeat(`{"f:a":`, 150) + "{}" + strings.Repeat("}", 150) + "}],")

// poisoner puts them into the first object of each line. What does not end in a newline is the last.
type poisoner struct {
	http.ResponseWriter
	line []byte
}

func (p *poisoner) WriteHeader(code int) {
	p.Header().Del("Content-Length")
	p.ResponseWriter.WriteHeader(code)
}

func (p *poisoner) Write(text []byte) (int, error) {
	p.line = append(p.line, text...)
	if !json.Valid(p.line) && !bytes.HasSuffix(p.line, []byte("\n")) {
		return len(text), nil
	}
	var changed []byte
	for line := range bytes.Lines(p.line) {
		changed = append(changed, bytes.Replace(line, []byte(`"metadata":{`), poisoned, 1)...)
	}
	p.line = nil
	_, err := p.ResponseWriter.Write(changed)
	return len(text), err
}

// Unwrap lets a reverse proxy flush.
func (p *poisoner) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// deaf takes an answer and forgets it.
type deaf struct{ header http.Header }

func (d *deaf) Header() http.Header            { return d.header }
func (d *deaf) Write(text []byte) (int, error) { return len(text), nil }
func (d *deaf) WriteHeader(int)                {}
