package konductor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"regexp"
	"strings"
	"time"

	v1 "github.com/LogicIQ/konductor/sdk/go/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	// requestTimeout bounds one request, unless it is a watch.
	requestTimeout = 30 * time.Second
	// fieldManager names who writes, in the objects' managed fields.
	fieldManager = "konductor-sdk"
)

const inPodNamespace = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// Client is a connection to one namespace. It may be used by many goroutines.
type Client struct {
	rest      rest.Interface
	codec     runtime.ParameterCodec
	namespace string
	holder    string
	log       *slog.Logger
	observe   func(Event)
}

// New connects to an API server. Without a config it does so as kubectl does: by $KUBECONFIG or
// ~/.kube/config, and in a pod by its service account. It makes no request.
func New(config *rest.Config, options ...Option) (*Client, error) {
	made := clientOptions{holder: defaultHolder(), log: slog.Default()}
	for _, one := range options {
		one.client(&made)
	}
	config, namespace, err := connection(config)
	if err != nil {
		return nil, fmt.Errorf("no cluster to connect to; "+
			"set KUBECONFIG, or run in a pod with a service account: %w", err)
	}
	if made.namespace == "" {
		made.namespace = namespace
	}
	scheme := runtime.NewScheme()
	if err := v1.AddToScheme(scheme); err != nil {
		return nil, err
	}
	codecs := serializer.NewCodecFactory(scheme)
	config.APIPath, config.GroupVersion = "/apis", &v1.GroupVersion
	config.NegotiatedSerializer = codecs.WithoutConversion()
	// A watch lasts longer than any request may; requests have their own timeouts.
	config.Timeout = 0
	if config.QPS == 0 && config.RateLimiter == nil {
		// The API server shares itself out fairly. A limit here would delay renewals.
		config.QPS = -1
	}
	if config.UserAgent == "" {
		config.UserAgent = "konductor-go"
	}
	if config.WarningHandler == nil && config.WarningHandlerWithContext == nil {
		config.WarningHandlerWithContext = warnings{made.log}
	}
	config.ContentType, config.AcceptContentTypes = runtime.ContentTypeJSON, runtime.ContentTypeJSON
	client, err := connect(config)
	if err != nil {
		return nil, fmt.Errorf("the cluster's configuration can't be used: %w", err)
	}
	return &Client{
		rest: client, codec: runtime.NewParameterCodec(scheme),
		namespace: made.namespace, holder: made.holder, log: made.log,
		observe: made.observe,
	}, nil
}

// Namespace is where names are looked up.
func (c *Client) Namespace() string { return c.namespace }

// Holder is who takes part, unless a call says otherwise.
func (c *Client) Holder() string { return c.holder }

// connection copies a config, or finds one, and the namespace that goes with it.
func connection(config *rest.Config) (*rest.Config, string, error) {
	if config != nil {
		if text, err := os.ReadFile(inPodNamespace); err == nil {
			return rest.CopyConfig(config), strings.TrimSpace(string(text)), nil
		}
		return rest.CopyConfig(config), metav1.NamespaceDefault, nil
	}
	loaded := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		clientcmd.NewDefaultClientConfigLoadingRules(), nil)
	found, err := loaded.ClientConfig()
	if err != nil {
		return nil, "", err
	}
	namespace, _, err := loaded.Namespace()
	return found, namespace, err
}

// indexedPod is the name of a pod of an Indexed Job: the one of index 3 of Job load is load-3-x7k2p, with the
// host name load-3.
var indexedPod = regexp.MustCompile(`^(.+-([0-9]+))-[a-z0-9]{5}$`)

// defaultHolder is the holder that the environment names. A pod of an Indexed Job is known by the Job and its
// completion index, so the pod that replaces it is the same holder, and counts once at a Barrier.
func defaultHolder() string {
	if value := os.Getenv("KONDUCTOR_HOLDER"); value != "" {
		return value
	}
	for _, name := range []string{"POD_NAME", "HOSTNAME"} {
		value := os.Getenv(name)
		if value == "" {
			continue
		}
		found := indexedPod.FindStringSubmatch(value)
		if found != nil && found[2] == os.Getenv("JOB_COMPLETION_INDEX") {
			return found[1]
		}
		return value
	}
	if name, err := os.Hostname(); err == nil && name != "" {
		return name
	}
	return fmt.Sprintf("process-%d", os.Getpid())
}

// warnings logs what the API server warns of.
type warnings struct{ log *slog.Logger }

func (w warnings) HandleWarningHeaderWithContext(
	ctx context.Context, code int, _ string, text string,
) {
	if code == 299 && text != "" {
		w.log.WarnContext(ctx, "the API server warns", "warning", text)
	}
}

func (c *Client) target(kind, resource, name string) target {
	return target{kind, resource, c.namespace, name}
}

func (c *Client) get(ctx context.Context, resource, name string, into any) error {
	text, err := c.read(ctx, resource, name)
	if err != nil {
		return err
	}
	return decode(text, into)
}

func (c *Client) read(ctx context.Context, resource, name string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(c.quietly(ctx), requestTimeout)
	defer cancel()
	return body(c.rest.Get().Namespace(c.namespace).Resource(resource).Name(name).Do(ctx))
}

// body is the text of an answer, or the error that the API server has answered.
func body(answer rest.Result) ([]byte, error) {
	if err := answer.Error(); err != nil {
		return nil, err
	}
	return answer.Raw()
}

// list reads the objects of a resource that a field selector matches.
func (c *Client) list(ctx context.Context, resource, fields string) (list, error) {
	ctx, cancel := context.WithTimeout(c.quietly(ctx), requestTimeout)
	defer cancel()
	options := metav1.ListOptions{FieldSelector: fields}
	text, err := body(c.rest.Get().Namespace(c.namespace).Resource(resource).
		VersionedParams(&options, c.codec).Do(ctx))
	var found list
	if err == nil {
		err = json.Unmarshal(text, &found)
	}
	return found, err
}

func (c *Client) post(ctx context.Context, resource string, object, into any) error {
	ctx, cancel := context.WithTimeout(c.quietly(ctx), requestTimeout)
	defer cancel()
	text, err := body(c.rest.Post().Namespace(c.namespace).Resource(resource).
		Param("fieldManager", fieldManager).Body(object).Do(ctx))
	if err != nil {
		return err
	}
	return decode(text, into)
}

// backoff is the pause between attempts, doubled from one to the next. Its jitter keeps clients that a
// restart of the API server has interrupted from all reconnecting at once.
type backoff struct{ next time.Duration }

const (
	pauseMin = 100 * time.Millisecond
	pauseMax = 2 * time.Second
)

func (b *backoff) pause(ctx context.Context) bool {
	b.next = min(max(b.next, pauseMin), pauseMax)
	length := b.next/2 + rand.N(b.next/2)
	b.next *= 2
	return sleep(ctx, length)
}

// sleep returns false if the context ended first.
func sleep(ctx context.Context, length time.Duration) bool {
	timer := time.NewTimer(length)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// grace returns a context that outlives another by some time, for cleaning up after it.
func grace(ctx context.Context, length time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		time.AfterFunc(length, func() { cancel(context.DeadlineExceeded) })
	})
	return longer, func() { stop(); cancel(errors.New("done")) }
}
