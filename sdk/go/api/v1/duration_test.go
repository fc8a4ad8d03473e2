package v1

import (
	"testing"
	"time"
)

func TestADurationIsReadAndWritten(t *testing.T) {
	for text, length := range map[Duration]time.Duration{
		"0s": 0, "500ms": 500 * time.Millisecond, "30s": 30 * time.Second,
		"1h30m": 90 * time.Minute, "2d": 48 * time.Hour, "1d2h3m4s5ms": 26*time.Hour +
			3*time.Minute + 4*time.Second + 5*time.Millisecond,
	} {
		read, err := text.Parse()
		if err != nil || read != length {
			t.Errorf("%s is read as %s (%v), want %s", text, read, err, length)
		}
		if written := NewDuration(length); written != text {
			t.Errorf("%s is written as %s, want %s", length, written, text)
		}
	}
}

func TestWhatIsNotADurationIsRefused(t *testing.T) {
	for _, text := range []Duration{
		"", "5", "s", "1.5s", "-1s", "1s1m", "1s1s", "1y", "30 s", "1m 1s", "106752d",
		"99999999999999999999s",
	} {
		if read, err := text.Parse(); err == nil {
			t.Errorf("%q is read as %s", text, read)
		}
	}
}
