package v1

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Duration is a length of time as manifests write it: 500ms, 30s, 1h30m or 2d. Whole numbers with
// the units d, h, m, s and ms, each at most once and in that order. The text is kept as it was
// written, so an object that is read and written back is unchanged.
type Duration string

type unit struct {
	name string
	size time.Duration
}

var units = []unit{
	{"d", 24 * time.Hour},
	{"h", time.Hour},
	{"m", time.Minute},
	{"s", time.Second},
	{"ms", time.Millisecond},
}

// NewDuration writes a length in the shortest form. Parts of a millisecond are cut off, and what is
// negative is 0s.
func NewDuration(length time.Duration) Duration {
	var text strings.Builder
	for _, one := range units {
		if length >= one.size {
			fmt.Fprintf(&text, "%d%s", length/one.size, one.name)
			length %= one.size
		}
	}
	if text.Len() == 0 {
		return "0s"
	}
	return Duration(text.String())
}

// Parse gives the length.
func (d Duration) Parse() (time.Duration, error) {
	rest, left := string(d), units
	var length time.Duration
	for first := true; first || rest != ""; first = false {
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
		number, err := strconv.ParseInt(rest[:digits], 10, 64)
		if err != nil {
			return 0, d.malformed()
		}
		rest = rest[digits:]
		letters := len(rest) - len(strings.TrimLeft(rest, "dhms"))
		name := rest[:letters]
		rest = rest[letters:]
		for len(left) > 0 && left[0].name != name {
			left = left[1:]
		}
		if len(left) == 0 || number > int64(math.MaxInt64-length)/int64(left[0].size) {
			return 0, d.malformed()
		}
		length += time.Duration(number) * left[0].size
		left = left[1:]
	}
	return length, nil
}

func (d Duration) malformed() error {
	return fmt.Errorf("%q is not a duration: "+
		"write a number and a unit, such as 500ms, 30s, 1h30m or 2d", string(d))
}
