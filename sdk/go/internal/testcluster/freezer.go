package testcluster

import (
	"io"
	"net"
	"sync"
	"testing"
)

// Freezer stands before a server as a network that stops to deliver, without a word to either end: as
// a NAT that has forgotten a connection, or a node that is gone.
type Freezer struct {
	// Address is where it listens.
	Address string

	mu    sync.Mutex
	flows []*flow
}

// flow is a connection through it.
type flow struct {
	ends   [2]net.Conn
	frozen chan struct{}
}

// NewFreezer starts one in front of an address.
func NewFreezer(t testing.TB, to string) *Freezer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	made := &Freezer{Address: listener.Addr().String()}
	t.Cleanup(func() {
		_ = listener.Close()
		made.mu.Lock()
		defer made.mu.Unlock()
		for _, one := range made.flows {
			_, _ = one.ends[0].Close(), one.ends[1].Close()
		}
	})
	go func() {
		for {
			from, err := listener.Accept()
			if err != nil {
				return
			}
			made.begin(from, to)
		}
	}()
	return made
}

func (f *Freezer) begin(from net.Conn, address string) {
	to, err := net.Dial("tcp", address)
	if err != nil {
		_ = from.Close()
		return
	}
	made := &flow{ends: [2]net.Conn{from, to}, frozen: make(chan struct{})}
	f.mu.Lock()
	f.flows = append(f.flows, made)
	f.mu.Unlock()
	go made.carry(from, to)
	go made.carry(to, from)
}

// carry delivers until it is frozen: from then on what arrives is dropped, and the other
// end does not see that this one closes.
func (f *flow) carry(from, to net.Conn) {
	buffer := make([]byte, 32<<10)
	for {
		length, err := from.Read(buffer)
		select {
		case <-f.frozen:
			_, _ = io.Copy(io.Discard, from)
			return
		default:
		}
		if length > 0 {
			_, _ = to.Write(buffer[:length])
		}
		if err != nil {
			_ = to.Close()
			return
		}
	}
}

// Freeze stops to deliver on the connections that are open. New ones work.
func (f *Freezer) Freeze() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, one := range f.flows {
		select {
		case <-one.frozen:
		default:
			close(one.frozen)
		}
	}
}
