package konductor

import "testing"

func TestAPodThatIsReplacedIsTheSameHolderInAnIndexedJob(t *testing.T) {
	tests := []struct{ given, pod, host, index, want string }{
		{given: "me", pod: "load-3-x7k2p", index: "3", want: "me"},
		{pod: "load-3-x7k2p", index: "3", want: "load-3"},
		{host: "load-3", index: "3", want: "load-3"},
		{pod: "load-13-x7k2p", index: "3", want: "load-13-x7k2p"},
		{pod: "web-7f9kx", host: "other", want: "web-7f9kx"},
		{host: "load-3-x7k2p", want: "load-3-x7k2p"},
	}
	for _, one := range tests {
		t.Setenv("KONDUCTOR_HOLDER", one.given)
		t.Setenv("POD_NAME", one.pod)
		t.Setenv("HOSTNAME", one.host)
		t.Setenv("JOB_COMPLETION_INDEX", one.index)
		if got := defaultHolder(); got != one.want {
			t.Errorf("%+v: got %q", one, got)
		}
	}
}
