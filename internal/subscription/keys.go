package subscription

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"twohop"
)

var b64 = base64.RawURLEncoding

// keys are the server's secrets: one pair signs webhooks, one key makes tokens.
type keys struct {
	sign  ed25519.PrivateKey
	kid   string
	x     string // the public key
	token []byte
}

// keyRecord is how keys are kept.
type keyRecord struct {
	Seed  []byte `json:"ed25519_seed"`
	Token []byte `json:"token_key"`
}

// keyring returns the keys, made by whichever node needed them first. It may
// run twice at once: both runs find the same keys.
func (m *Manager) keyring(ctx context.Context) (*keys, error) {
	if k := m.keys.Load(); k != nil {
		return k, nil
	}
	var kept keyRecord
	_, err := last(ctx, m.store, keysChannel, &kept)
	if absent(err) {
		fresh := keyRecord{Seed: make([]byte, ed25519.SeedSize), Token: make([]byte, sha256.Size)}
		_, _ = rand.Read(fresh.Seed) // never fails
		_, _ = rand.Read(fresh.Token)
		if _, _, err = found(ctx, m.store, keysChannel, fresh); err == nil {
			_, err = last(ctx, m.store, keysChannel, &kept) // maybe another node's
		}
	}
	if err != nil {
		return nil, err
	}
	if len(kept.Seed) != ed25519.SeedSize || len(kept.Token) < sha256.Size {
		return nil, &twohop.Error{Code: twohop.CodeStorageFailed, Channel: keysChannel,
			Message: "the server's signing keys are damaged", Hint: "restore the data, or delete the channel to have new keys made"}
	}
	k := newKeys(kept)
	m.keys.Store(k)
	return k, nil
}

func newKeys(r keyRecord) *keys {
	k := &keys{sign: ed25519.NewKeyFromSeed(r.Seed), token: r.Token}
	k.x = b64.EncodeToString(k.sign[ed25519.SeedSize:])                               // the second half is the public key
	thumb := sha256.Sum256([]byte(`{"crv":"Ed25519","kty":"OKP","x":"` + k.x + `"}`)) // RFC 7638
	k.kid = "ds_" + b64.EncodeToString(thumb[:])
	return k
}

// signature is the Webhook-Signature header of a body (DS 7.1).
func (k *keys) signature(now time.Time, body []byte) string {
	t := now.Unix()
	signed := append(fmt.Appendf(nil, "%d.", t), body...)
	return fmt.Sprintf("t=%d,kid=%s,ed25519=%s", t, k.kid, b64.EncodeToString(ed25519.Sign(k.sign, signed)))
}

// jwks is the JSON Web Key Set by which receivers check signatures (DS 6.5).
func (k *keys) jwks() ([]byte, error) {
	return json.Marshal(map[string]any{"keys": []map[string]string{
		{"kty": "OKP", "crv": "Ed25519", "kid": k.kid, "use": "sig", "alg": "EdDSA", "x": k.x},
	}})
}
