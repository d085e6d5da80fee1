package server

import (
	"runtime"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// metrics are the server's, in a registry of its own. What others count is read
// when somebody asks, so that it costs nothing in between.
type metrics struct {
	registry    *prometheus.Registry
	requests    requestCounts
	publishTime prometheus.Histogram
}

func newMetrics(p *parts) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		publishTime: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "twohop_publish_seconds", Help: "Time from a publish request to its answer.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5},
		}),
	}
	build := ReadBuild()
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "twohop_build_info", Help: "Always 1; the labels tell what runs.",
		ConstLabels: prometheus.Labels{
			"version": build.Version, "revision": build.Revision, "go": runtime.Version(),
			"engine": p.engine.Capabilities().Name,
		},
	})
	info.Set(1)
	m.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		info, m.publishTime, &collector{parts: p, requests: &m.requests},
	)
	return m
}

// collector reads the counters of the parts.
type collector struct {
	parts    *parts
	requests *requestCounts
}

var (
	requestsDesc = prometheus.NewDesc("twohop_http_requests_total", "Requests answered.", []string{"route", "status"}, nil)
	healthyDesc  = prometheus.NewDesc("twohop_engine_healthy", "1 when the engine accepts appends.", nil, nil)
	liveDesc     = prometheus.NewDesc("twohop_channels_live", "Channels that someone reads, or read a moment ago.", nil, nil)
	readersDesc  = prometheus.NewDesc("twohop_readers", "Requests that read a channel now.", []string{"transport"}, nil)
	recordsDesc  = prometheus.NewDesc("twohop_delivered_records_total", "Records delivered to readers.", nil, nil)
	bytesDesc    = prometheus.NewDesc("twohop_delivered_bytes_total", "Bytes of records delivered to readers.", nil, nil)
	publishDesc  = prometheus.NewDesc("twohop_published_records_total", "Records acknowledged, without duplicates.", nil, nil)
	resetsDesc   = prometheus.NewDesc("twohop_resets_total", "Offsets that could not be served.", nil, nil)
)

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{requestsDesc, healthyDesc, liveDesc, readersDesc, recordsDesc, bytesDesc, publishDesc, resetsDesc} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, n float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, n, labels...)
	}
	counter := func(d *prometheus.Desc, n int64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	healthy := 0.0
	if c.parts.engine.Healthy() == nil {
		healthy = 1
	}
	gauge(healthyDesc, healthy)
	gauge(liveDesc, float64(c.parts.hub.Live()))

	stats := c.parts.streams.Stats()
	gauge(readersDesc, float64(stats.Polls.Load()), "poll")
	gauge(readersDesc, float64(stats.LongPolls.Load()), "long_poll")
	gauge(readersDesc, float64(stats.SSE.Load()), "sse")
	counter(recordsDesc, stats.Records.Load())
	counter(bytesDesc, stats.Bytes.Load())
	counter(publishDesc, stats.Published.Load())
	counter(resetsDesc, stats.Resets.Load())

	for r := range c.requests {
		for status := range c.requests[r] {
			if n := c.requests[r][status].Load(); n > 0 {
				counter(requestsDesc, n, routeNames[r], strconv.Itoa(status))
			}
		}
	}
}
