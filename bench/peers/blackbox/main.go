// Blackbox drives blackbox_exporter's prober as its handler does: one call of ProbeHTTP, ProbeTCP or ProbeGRPC a probe,
// each with a registry of its own. Flags and output are those of the kubelet peer's bench.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/blackbox_exporter/config"
	"github.com/prometheus/blackbox_exporter/prober"
	"github.com/prometheus/client_golang/prometheus"
	pconfig "github.com/prometheus/common/config"
)

type tally struct {
	done, failed atomic.Int64
	mutex        sync.Mutex
	late         []float64
	probe        prober.ProbeFn
	module       config.Module
	target       func(ip string) string
}

var logger = slog.New(slog.NewTextHandler(io.Discard, nil))

func (t *tally) note(ip string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	ok := t.probe(ctx, t.target(ip), t.module, prometheus.NewRegistry(), logger)
	t.done.Add(1)
	if !ok {
		t.failed.Add(1)
	}
}

func (t *tally) closedLoop(ips []string, flights int, until time.Time) {
	var group sync.WaitGroup
	for i := range flights {
		group.Go(func() {
			for n := i; time.Now().Before(until); n += flights {
				t.note(ips[n%len(ips)])
			}
		})
	}
	group.Wait()
}

func (t *tally) paced(ips []string, period time.Duration, until time.Time) {
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
				t.note(ip)
				<-ticker.C
				due = due.Add(period)
			}
		})
	}
	group.Wait()
}

func cpuSeconds() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
}

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

func (t *tally) choose(kind string, port int) error {
	insecure := pconfig.HTTPClientConfig{TLSConfig: pconfig.TLSConfig{InsecureSkipVerify: true}}
	plain := func(ip string) string { return fmt.Sprintf("%s:%d", ip, port) }
	t.module = config.Module{Timeout: time.Second}
	switch kind {
	case "http", "https":
		t.probe, t.module.HTTP = prober.ProbeHTTP, config.DefaultHTTPProbe
		t.module.HTTP.IPProtocol, t.module.HTTP.IPProtocolFallback = "ip4", false
		t.module.HTTP.HTTPClientConfig = insecure
		t.target = func(ip string) string { return fmt.Sprintf("%s://%s:%d/", kind, ip, port) }
	case "tcp":
		t.probe, t.module.TCP, t.target = prober.ProbeTCP, config.DefaultTCPProbe, plain
		t.module.TCP.IPProtocol = "ip4"
	case "grpc":
		t.probe, t.module.GRPC, t.target = prober.ProbeGRPC, config.DefaultGRPCProbe, plain
		t.module.GRPC.PreferredIPProtocol = "ip4"
	default:
		return fmt.Errorf("no such kind %q", kind)
	}
	return nil
}

func run() error {
	kind := flag.String("kind", "http", "http, https, tcp or grpc")
	port := flag.Int("port", 0, "of every address")
	flights := flag.Int("flights", 100, "probes in flight (closed loop)")
	period := flag.Float64("period", 0, "seconds: probe each address once in these (paced) instead of a closed loop")
	duration := flag.Float64("duration", 5, "seconds")
	flag.Parse()
	addresses, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	t, ips := &tally{}, strings.Fields(string(addresses))
	if err := t.choose(*kind, *port); err != nil {
		return err
	}
	seconds := func(count float64) time.Duration { return time.Duration(count * float64(time.Second)) }
	began, before := time.Now(), cpuSeconds()
	if *period > 0 {
		t.paced(ips, seconds(*period), began.Add(seconds(*duration)))
	} else {
		t.closedLoop(ips, *flights, began.Add(seconds(*duration)))
	}
	cpu, wall := cpuSeconds()-before, time.Since(began).Seconds()
	sort.Float64s(t.late)
	probes := float64(t.done.Load())
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"peer": "blackbox", "probes": probes, "failed": t.failed.Load(), "seconds": wall, "cpuMicroseconds": cpu / probes * 1e6,
		"probesPerSecond": probes / wall, "megabytes": peakMegabytes(),
		"lateMilliseconds": map[string]float64{"p50": quantile(t.late, .5), "p99": quantile(t.late, .99), "max": quantile(t.late, 1)},
	})
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
