package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"twohop/internal/bench"
	"twohop/server"
)

// checkModel compares what twohop advise predicts with what is measured.
func (c *benchCmd) checkModel(a *app, o bench.Options) error {
	if len(c.Scenarios) > 0 || c.Calibrate != "" {
		return &usageError{message: "--check-model measures what it needs, and scenarios or --calibrate are given", hint: "leave one of them out"}
	}
	p, err := bench.Prove(a.Context, o)
	if errors.Is(err, context.Canceled) {
		return errInterrupted
	}
	if err != nil {
		return benchError(err)
	}
	p.Version = server.ReadBuild().Version
	if c.Output == "json" {
		enc := json.NewEncoder(a.Stdout)
		enc.SetIndent("", "  ")
		err = enc.Encode(p)
	} else {
		err = printProof(a, p)
	}
	if err != nil {
		return err
	}
	var far []string
	for _, l := range p.Loads {
		if !l.Within {
			far = append(far, l.Name)
		}
	}
	if len(far) > 0 {
		return &failure{message: fmt.Sprintf("the model is off by more than %.0f %% for: %s", bench.ProofBound*100, strings.Join(far, "; ")),
			hint: "other programs that come and go change what things cost; try again on a quiet machine"}
	}
	return nil
}

func printProof(a *app, p *bench.Proof) error {
	_, err := fmt.Fprintf(a.Stdout, "twohop %s, %s; %d cores, Linux %s, %s; medians of %d rounds; other programs used up to %.0f %% of the machine\n\n",
		p.Version, p.Date.Format("2006-01-02 15:04 MST"), p.Machine.Cores, p.Machine.Kernel, p.Machine.Go, p.Rounds, p.OthersUp*100)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(a.Stdout, 0, 0, 3, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(w, "CPU, ms/s:\tpredicted\tmeasured\toff by\tkB/s:\tpredicted\tmeasured\toff by\t  load")
	for _, l := range p.Loads {
		_, _ = fmt.Fprintf(w, "\t%.1f\t%.1f\t%+.0f %%\t\t%.1f\t%.1f\t%+.1f %%\t  %s\n",
			l.Cores*1e3, l.MeasuredCores*1e3, off(l.Cores, l.MeasuredCores), l.Egress/1e3, l.MeasuredEgress/1e3, off(l.Egress, l.MeasuredEgress), l.Name)
	}
	return w.Flush()
}

func off(predicted, measured float64) float64 { return (predicted/measured - 1) * 100 }
