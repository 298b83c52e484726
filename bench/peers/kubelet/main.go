// Kubelet drives the kubelet's own probe packages (k8s.io/kubernetes/pkg/probe), with no pod and no kubelet around them.
//
//	kubelet oracle               reads one probe a line as JSON from stdin, answers one verdict a line
//	kubelet bench -probe JSON .. makes one probe of the addresses on stdin, closed loop, paced or all at once, and prints
//	                             one JSON object
//
// Used by tests/contract/test_probe_parity.py (same results) and bench/ (CPU of a probe).
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/pkg/probe"
	grpcprobe "k8s.io/kubernetes/pkg/probe/grpc"
	httpprobe "k8s.io/kubernetes/pkg/probe/http"
	tcpprobe "k8s.io/kubernetes/pkg/probe/tcp"
)

// prober holds one of each, shared by all targets, as the kubelet's does.
type prober struct {
	http httpprobe.Prober
	tcp  tcpprobe.Prober
	grpc grpcprobe.Prober
}

func newProber() prober {
	return prober{http: httpprobe.New(false), tcp: tcpprobe.New(), grpc: grpcprobe.New()}
}

// run makes one probe of ip; an error is the kubelet's "prober error".
func (p prober) run(spec *v1.Probe, ip string) (probe.Result, string, error) {
	timeout := time.Duration(spec.TimeoutSeconds) * time.Second
	switch {
	case spec.HTTPGet != nil:
		request, err := httpprobe.NewRequestForHTTPGetAction(spec.HTTPGet, &v1.Container{}, ip, "probe")
		if err != nil {
			return probe.Unknown, "", err
		}
		return p.http.Probe(request, timeout)
	case spec.TCPSocket != nil:
		return p.tcp.Probe(ip, spec.TCPSocket.Port.IntValue(), timeout)
	case spec.GRPC != nil:
		service := ""
		if spec.GRPC.Service != nil {
			service = *spec.GRPC.Service
		}
		return p.grpc.Probe(ip, service, int(spec.GRPC.Port), timeout)
	}
	return probe.Unknown, "", fmt.Errorf("no handler")
}

type question struct {
	IP    string   `json:"ip"`
	Probe v1.Probe `json:"probe"`
}

type verdict struct {
	Result string `json:"result"` // success, warning, failure, unknown; "error" for a prober error
	Output string `json:"output"`
}

func oracle() error {
	p, lines, out := newProber(), bufio.NewScanner(os.Stdin), json.NewEncoder(os.Stdout)
	lines.Buffer(make([]byte, 1<<20), 16<<20)
	for lines.Scan() {
		var q question
		if err := json.Unmarshal(lines.Bytes(), &q); err != nil {
			return err
		}
		result, output, err := p.run(&q.Probe, q.IP)
		answer := verdict{Result: string(result), Output: output}
		if err != nil {
			answer = verdict{Result: "error", Output: err.Error()}
		}
		if err := out.Encode(answer); err != nil {
			return err
		}
	}
	return lines.Err()
}

// tally counts results and keeps how late each paced probe began.
type tally struct {
	done, failed atomic.Int64
	mutex        sync.Mutex
	late         []float64
}

func (t *tally) note(p prober, spec *v1.Probe, ip string) {
	result, _, err := p.run(spec, ip)
	t.done.Add(1)
	if err != nil || (result != probe.Success && result != probe.Warning) {
		t.failed.Add(1)
	}
}

func (t *tally) closedLoop(p prober, spec *v1.Probe, ips []string, flights int, until time.Time) {
	var group sync.WaitGroup
	for i := range flights {
		group.Go(func() {
			for n := i; time.Now().Before(until); n += flights {
				t.note(p, spec, ips[n%len(ips)])
			}
		})
	}
	group.Wait()
}

func (t *tally) once(p prober, spec *v1.Probe, ips []string) {
	var group sync.WaitGroup
	for _, ip := range ips {
		group.Go(func() { t.note(p, spec, ip) })
	}
	group.Wait()
}

func (t *tally) paced(p prober, spec *v1.Probe, ips []string, period time.Duration, until time.Time) {
	var group sync.WaitGroup
	for _, ip := range ips {
		group.Go(func() {
			time.Sleep(time.Duration(rand.Int63n(int64(period))))
			ticker, due := time.NewTicker(period), time.Now()
			defer ticker.Stop()
			for due.Before(until) {
				late := time.Since(due).Seconds() * 1e3
				t.mutex.Lock()
				t.late = append(t.late, late)
				t.mutex.Unlock()
				t.note(p, spec, ip)
				<-ticker.C
				due = due.Add(period)
			}
		})
	}
	group.Wait()
}

func seconds(count float64) time.Duration {
	return time.Duration(count * float64(time.Second))
}

func cpuSeconds() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
}

// peakMegabytes reads VmHWM; ru_maxrss would begin with that of the process which started this one.
func peakMegabytes() float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		panic(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	kilobytes, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	if err != nil {
		panic(err)
	}
	return kilobytes / 1024
}

func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

func bench(arguments []string) error {
	flags := flag.NewFlagSet("bench", flag.ExitOnError)
	text := flags.String("probe", "", "the probe as JSON, as in a Pod")
	flights := flags.Int("flights", 100, "probes in flight (closed loop)")
	period := flags.Float64("period", 0, "seconds: probe each address once in these (paced) instead of a closed loop")
	once := flags.Bool("once", false, "probe each address once, all at the same moment")
	duration := flags.Float64("duration", 5, "seconds")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	var spec v1.Probe
	if err := json.Unmarshal([]byte(*text), &spec); err != nil {
		return fmt.Errorf("-probe: %w", err)
	}
	addresses, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	p, t, ips := newProber(), &tally{}, strings.Fields(string(addresses))
	began, before := time.Now(), cpuSeconds()
	until := began.Add(seconds(*duration))
	switch {
	case *once:
		t.once(p, &spec, ips)
	case *period > 0:
		t.paced(p, &spec, ips, seconds(*period), until)
	default:
		t.closedLoop(p, &spec, ips, *flights, until)
	}
	cpu, wall := cpuSeconds()-before, time.Since(began).Seconds()
	sort.Float64s(t.late)
	probes := float64(t.done.Load())
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"peer": "kubelet", "probes": probes, "failed": t.failed.Load(), "seconds": wall, "cpuMicroseconds": cpu / probes * 1e6,
		"probesPerSecond": probes / wall, "megabytes": peakMegabytes(),
		"lateMilliseconds": map[string]float64{"p50": quantile(t.late, .5), "p99": quantile(t.late, .99), "max": quantile(t.late, 1)},
	})
}

func main() {
	var err error
	switch {
	case len(os.Args) > 1 && os.Args[1] == "oracle":
		err = oracle()
	case len(os.Args) > 1 && os.Args[1] == "bench":
		err = bench(os.Args[2:])
	default:
		err = fmt.Errorf("usage: kubelet oracle | kubelet bench -probe JSON [-flights N | -period 10 | -once] [-duration 5]  (addresses on stdin)")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
