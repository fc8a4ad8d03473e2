package konductor_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	konductor "github.com/LogicIQ/konductor/sdk/go"
	v1 "github.com/LogicIQ/konductor/sdk/go/api/v1"
	"github.com/LogicIQ/konductor/sdk/go/internal/testcluster"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"
)

// within is how long anything that must happen may take.
const within = 20 * time.Second

// A scenario of ../contract; its README.md says what each field means.
type scenario struct {
	Name     string           `json:"name"`
	Operator string           `json:"operator"`
	Setup    []map[string]any `json:"setup"`
	Steps    []step           `json:"steps"`
	Left     map[string]int   `json:"left"`
}

type step struct {
	Do        string         `json:"do"`
	Begin     string         `json:"begin"`
	Call      string         `json:"call"`
	As        string         `json:"as"`
	Object    string         `json:"object"`
	Namespace string         `json:"namespace"`
	Holder    string         `json:"holder"`
	Outcome   string         `json:"outcome"`
	Permits   *int32         `json:"permits"`
	Priority  int32          `json:"priority"`
	TTL       string         `json:"ttl"`
	Timeout   string         `json:"timeout"`
	Wait      *bool          `json:"wait"`
	FailFast  bool           `json:"failFast"`
	Result    string         `json:"result"`
	End       string         `json:"end"`
	Pending   string         `json:"pending"`
	Cancel    string         `json:"cancel"`
	Release   string         `json:"release"`
	Holds     string         `json:"holds"`
	Rising    []string       `json:"rising"`
	Create    map[string]any `json:"create"`
	Patch     string         `json:"patch"`
	With      map[string]any `json:"with"`
	Delete    string         `json:"delete"`
	Expire    string         `json:"expire"`
	Until     string         `json:"until"`
	Has       map[string]any `json:"has"`
	Of        string         `json:"of"`
	Times     int            `json:"times"`
	Break     string         `json:"break"`
	How       string         `json:"how"`
	Mend      string         `json:"mend"`
	Cut       string         `json:"cut"`
	Server    string         `json:"server"`
	Operator  string         `json:"operator"`
	Requests  []string       `json:"requests"`
}

func TestContract(t *testing.T) {
	files, err := filepath.Glob("../contract/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no scenarios: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var scenarios []scenario
		if err := yaml.UnmarshalStrict(text, &scenarios); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			for _, one := range scenarios {
				t.Run(one.Name, func(t *testing.T) {
					t.Parallel()
					one.run(t)
				})
			}
		})
	}
}

// A stage is where one scenario is played.
type stage struct {
	t         *testing.T
	cluster   *testcluster.Cluster
	namespace string
	objects   func(resource string) dynamic.ResourceInterface
	proxy     *testcluster.Proxy
	calls     map[string]*call
	holds     map[string]held
	faults    map[string]*testcluster.Fault
}

type call struct {
	ended  chan struct{}
	cancel context.CancelFunc
	held   held
	err    error
}

// held is a Permit or a LeaseGuard.
type held interface {
	Claim() string
	Lost() <-chan struct{}
	Context() context.Context
	Check() error
	Release(context.Context) error
}

func (s scenario) run(t *testing.T) {
	cluster := cluster
	switch s.Operator {
	case "":
	case "absent":
		cluster = cluster.WithoutOperator(t)
	default:
		t.Fatalf("not an operator: %s", s.Operator)
	}
	namespace := cluster.Namespace(t)
	on := &stage{
		t: t, cluster: cluster, namespace: namespace,
		proxy: testcluster.NewProxy(t, cluster.Config),
		calls: map[string]*call{}, holds: map[string]held{},
		faults: map[string]*testcluster.Fault{},
		objects: func(resource string) dynamic.ResourceInterface {
			return cluster.Resource(namespace, resource)
		},
	}
	for _, object := range s.Setup {
		on.create(object)
	}
	for i, one := range s.Steps {
		if err := on.play(one); err != nil {
			t.Fatalf("step %d: %v", i+1, err)
		}
	}
	for resource, want := range s.Left {
		on.observe(resource, fmt.Sprintf("%d are left", want),
			func(all []unstructured.Unstructured) bool { return len(all) == want })
	}
	for _, one := range on.calls {
		one.cancel()
		<-one.ended
	}
	for _, one := range on.holds {
		if err := one.Release(context.Background()); err != nil {
			t.Logf("release: %v", err)
		}
	}
}

func (s *stage) play(one step) error {
	switch {
	case one.Do != "":
		one.Call = one.Do
		return s.end(s.begin(one), one.As, one.Result)
	case one.Begin != "":
		s.calls[one.Begin] = s.begin(one)
	case one.End != "":
		return s.end(s.calls[one.End], one.End, one.Result)
	case one.Pending != "":
		select {
		case <-s.calls[one.Pending].ended:
			return fmt.Errorf("%s has ended: %w", one.Pending, s.calls[one.Pending].err)
		default:
		}
	case one.Cancel != "":
		s.calls[one.Cancel].cancel()
	case one.Release != "":
		return expect(s.holds[one.Release].Release(s.t.Context()), one.Result)
	case one.Holds != "":
		held := s.holds[one.Holds]
		if err := errors.Join(held.Context().Err(), held.Check()); err != nil {
			return fmt.Errorf("%s is held no longer: %w", one.Holds, err)
		}
	case one.Rising != nil:
		return s.rising(one.Rising)
	case one.Until != "":
		return s.until(one)
	case one.Requests != nil:
		if got := s.proxy.Requests(); !slices.Equal(got, one.Requests) {
			return fmt.Errorf("the requests were %q, want %q", got, one.Requests)
		}
	default:
		return s.change(one)
	}
	return nil
}

// change plays what others do: the steps that are no call.
func (s *stage) change(one step) error {
	ctx := s.t.Context()
	switch {
	case one.Create != nil:
		s.create(one.Create)
	case one.Patch != "":
		return s.patch(one.Patch, one.With)
	case one.Expire != "":
		return s.patch("claim/"+s.holds[one.Expire].Claim(),
			map[string]any{"status": map[string]any{"phase": "Expired"}})
	case one.Delete != "":
		if holder, ok := strings.CutPrefix(one.Delete, "claims of "); ok {
			return s.objects("claims").DeleteCollection(ctx, metav1.DeleteOptions{},
				metav1.ListOptions{FieldSelector: "spec.holder=" + holder})
		}
		kind, name, _ := strings.Cut(one.Delete, "/")
		return s.objects(kind+"s").Delete(ctx, name, metav1.DeleteOptions{})
	case one.Break != "":
		verb, resource, _ := strings.Cut(one.Break, " ")
		fault := testcluster.Fault{Verb: verb, Resource: resource, Times: one.Times}
		switch one.How {
		case "hang":
			fault.Hang = true
		case "poison":
			fault.Poison = true
		case "lose-answer":
			fault.LoseAnswer = true
		case "compacted":
			all, err := s.objects(resource).List(ctx, metav1.ListOptions{})
			if err != nil {
				return err
			}
			if fault.Oldest, err = strconv.ParseUint(all.GetResourceVersion(), 10, 64); err != nil {
				return err
			}
		default:
			code, err := strconv.Atoi(one.How)
			if err != nil {
				return err
			}
			fault.Code = code
		}
		s.faults[one.As] = s.proxy.Break(fault)
	case one.Mend != "":
		s.proxy.Mend(s.faults[one.Mend])
	case one.Cut == "watches":
		s.proxy.CutWatches()
	case one.Operator == "up":
		s.cluster.StartOperator(s.t, s.namespace)
	case one.Server == "down":
		s.proxy.Down()
	case one.Server == "up":
		s.proxy.Up(s.t)
	default:
		return fmt.Errorf("not a step: %+v", one)
	}
	return nil
}

func (s *stage) create(object map[string]any) {
	spec, _ := object["spec"].(map[string]any)
	s.cluster.Create(s.t, s.namespace, object["kind"].(string), object["name"].(string), spec)
}

func (s *stage) patch(object string, with map[string]any) error {
	kind, name, _ := strings.Cut(object, "/")
	text, err := yaml.Marshal(with)
	if err != nil {
		return err
	}
	if text, err = yaml.YAMLToJSON(text); err != nil {
		return err
	}
	var parts []string
	if with["status"] != nil {
		parts = append(parts, "status")
	}
	_, err = s.objects(kind+"s").Patch(s.t.Context(), name, types.MergePatchType, text,
		metav1.PatchOptions{}, parts...)
	return err
}

// begin runs a call in the background.
func (s *stage) begin(one step) *call {
	namespace := s.namespace
	if one.Namespace != "" {
		namespace = one.Namespace
	}
	client, err := konductor.New(s.proxy.Config, konductor.WithNamespace(namespace))
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	made := &call{ended: make(chan struct{}), cancel: cancel}
	go func() {
		defer close(made.ended)
		made.held, made.err = run(ctx, client, one)
	}()
	return made
}

func run(ctx context.Context, client *konductor.Client, one step) (held, error) {
	kind, name, _ := strings.Cut(one.Object, "/")
	switch one.Call + " " + kind {
	case "wait gate":
		return nil, client.WaitGate(ctx, name, waitOptions(one)...)
	case "wait barrier":
		return nil, client.WaitBarrier(ctx, name, waitOptions(one)...)
	case "arrive barrier":
		options := []konductor.ArriveOption{konductor.WithHolder(one.Holder)}
		if one.Outcome != "" {
			options = append(options, konductor.WithOutcome(v1.ArrivalOutcome(one.Outcome)))
		}
		if one.Timeout != "" {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, length(one.Timeout))
			defer cancel()
		}
		return nil, client.ArriveBarrier(ctx, name, options...)
	case "acquire semaphore":
		permit, err := client.AcquireSemaphore(ctx, name, acquireOptions(one)...)
		if err != nil {
			return nil, err
		}
		return permit, nil
	case "acquire lease":
		guard, err := client.AcquireLease(ctx, name, acquireOptions(one)...)
		if err != nil {
			return nil, err
		}
		return guard, nil
	}
	return nil, fmt.Errorf("not a call: %s %s", one.Call, one.Object)
}

func waitOptions(one step) []konductor.WaitOption {
	var options []konductor.WaitOption
	if one.Timeout != "" {
		options = append(options, konductor.WithTimeout(length(one.Timeout)))
	}
	if one.FailFast {
		options = append(options, konductor.WithFailFast())
	}
	return options
}

func acquireOptions(one step) []konductor.AcquireOption {
	options := []konductor.AcquireOption{konductor.WithHolder(one.Holder)}
	if one.Timeout != "" {
		options = append(options, konductor.WithTimeout(length(one.Timeout)))
	}
	if one.Permits != nil {
		options = append(options, konductor.WithPermits(*one.Permits))
	}
	if one.FailFast {
		options = append(options, konductor.WithFailFast())
	}
	if one.Priority != 0 {
		options = append(options, konductor.WithPriority(one.Priority))
	}
	if one.TTL != "" {
		options = append(options, konductor.WithTTL(length(one.TTL)))
	}
	if one.Wait != nil {
		options = append(options, konductor.WithWait(*one.Wait))
	}
	return options
}

func length(text string) time.Duration {
	parsed, err := v1.Duration(text).Parse()
	if err != nil {
		panic(err)
	}
	return parsed
}

// end waits for a call, and keeps what it holds under a name.
func (s *stage) end(ended *call, name, result string) error {
	select {
	case <-ended.ended:
	case <-time.After(within):
		return fmt.Errorf("the call has not ended within %s", within)
	}
	if ended.held != nil {
		s.holds[name] = ended.held
	}
	return expect(ended.err, result)
}

// expect compares an error with its kind, and its reason if `want` names a reason.
func expect(err error, want string) error {
	kinds := map[string]error{
		"not-found": konductor.ErrNotFound, "forbidden": konductor.ErrForbidden,
		"unauthorized": konductor.ErrUnauthorized, "invalid": konductor.ErrInvalid,
		"timed-out": konductor.ErrTimeout, "failed": konductor.ErrFailed,
		"denied": konductor.ErrDenied, "lost": konductor.ErrLost,
		"unreachable": konductor.ErrUnreachable, "refused": konductor.ErrRefused,
		"canceled": context.Canceled,
	}
	got := "ok"
	if err != nil {
		got = fmt.Sprintf("an error of no kind: %v", err)
	}
	for kind, one := range kinds {
		var known *konductor.Error
		if errors.Is(err, one) && errors.As(err, &known) {
			got = kind
			if strings.Contains(want, " ") {
				got += " " + known.Reason
			}
		}
	}
	if want == "" {
		want = "ok"
	}
	if got != want {
		return fmt.Errorf("the result is %s (%w), want %s", got, err, want)
	}
	return nil
}

func (s *stage) rising(names []string) error {
	last := int64(0)
	for _, name := range names {
		guard, ok := s.holds[name].(*konductor.LeaseGuard)
		if !ok {
			return fmt.Errorf("%s holds no lease", name)
		}
		if guard.Token() <= last {
			return fmt.Errorf("%s has the token %d after %d", name, guard.Token(), last)
		}
		last = guard.Token()
	}
	return nil
}

func (s *stage) until(one step) error {
	ctx, cancel := context.WithTimeout(s.t.Context(), within)
	defer cancel()
	switch one.Until {
	case "lost":
		select {
		case <-s.holds[one.Of].Lost():
			if err := expect(s.holds[one.Of].Check(), "lost"); err != nil {
				return fmt.Errorf("check: %w", err)
			}
			return expect(context.Cause(s.holds[one.Of].Context()), "lost")
		case <-ctx.Done():
			return fmt.Errorf("%s is not lost", one.Of)
		}
	case "requests":
		return s.proxy.Await(ctx, one.Of, max(one.Times, 1))
	}
	s.observe(one.Until, fmt.Sprintf("one has %v", one.Has),
		func(all []unstructured.Unstructured) bool {
			for _, found := range all {
				if includes(found.Object, one.Has) {
					return true
				}
			}
			return false
		})
	return nil
}

// observe waits until the objects of a resource are as they should be: a list, then a watch.
func (s *stage) observe(
	resource, what string, enough func([]unstructured.Unstructured) bool,
) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), within)
	defer cancel()
	for {
		all, err := s.objects(resource).List(ctx, metav1.ListOptions{})
		if err != nil {
			s.t.Fatalf("%s: %v", resource, err)
		}
		if enough(all.Items) {
			return
		}
		changes, err := s.objects(resource).Watch(ctx,
			metav1.ListOptions{ResourceVersion: all.GetResourceVersion()})
		if err != nil {
			s.t.Fatalf("%s: %v", resource, err)
		}
		select {
		case <-changes.ResultChan():
			changes.Stop()
		case <-ctx.Done():
			s.t.Fatalf("%s: not within %s that %s; there are %v", resource, within, what, all.Items)
		}
	}
}

// includes returns whether an object has all that is asked for.
func includes(found, asked any) bool {
	wanted, ok := asked.(map[string]any)
	if !ok {
		return fmt.Sprint(found) == fmt.Sprint(asked)
	}
	fields, ok := found.(map[string]any)
	for key, value := range wanted {
		if !ok || !includes(fields[key], value) {
			return false
		}
	}
	return true
}
