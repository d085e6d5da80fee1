package subscription

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"twohop"
)

// tokenLife is how long a token holds at most. A worker that is busy with one
// wake for longer loses it, and the work is announced anew.
const tokenLife = 24 * time.Hour

const maxTokenBytes = 2048

// tokenHeader begins every token: {"alg":"HS256","typ":"JWT"}. A token with any
// other header is not ours, so that nobody can choose the algorithm.
const tokenHeader = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9."

// claims scope a token to one generation of one subscription.
type claims struct {
	Subscription string `json:"sub"`
	Generation   uint64 `json:"gen"`
	Expires      int64  `json:"exp"` // Unix seconds
}

func (k *keys) mint(subscription string, generation uint64, now time.Time) (string, error) {
	b, err := json.Marshal(claims{subscription, generation, now.Add(tokenLife).Unix()})
	if err != nil {
		return "", err
	}
	signed := tokenHeader + b64.EncodeToString(b)
	return signed + "." + b64.EncodeToString(k.mac(signed)), nil
}

// check returns the generation that a token is for.
func (k *keys) check(token, subscription string, now time.Time) (uint64, error) {
	dot := strings.LastIndexByte(token, '.')
	if len(token) > maxTokenBytes || dot < len(tokenHeader) || !strings.HasPrefix(token, tokenHeader) {
		return 0, tokenError("it is not one of this server's")
	}
	mac, err := b64.Strict().DecodeString(token[dot+1:])
	if err != nil || !hmac.Equal(mac, k.mac(token[:dot])) {
		return 0, tokenError("its signature is wrong")
	}
	var c claims
	body, err := b64.DecodeString(token[len(tokenHeader):dot])
	if err != nil || json.Unmarshal(body, &c) != nil {
		return 0, tokenError("it cannot be read")
	}
	if c.Subscription != subscription {
		return 0, tokenError("it is for another subscription")
	}
	if now.Unix() >= c.Expires {
		return 0, &apiError{status: http.StatusUnauthorized, ds: "TOKEN_EXPIRED", err: twohop.Error{
			Code: twohop.CodeTokenExpired, Message: "the token has expired",
			Hint: "drop this work: it is announced again, with a new token"}}
	}
	return c.Generation, nil
}

func (k *keys) mac(signed string) []byte {
	h := hmac.New(sha256.New, k.token)
	h.Write([]byte(signed))
	return h.Sum(nil)
}

func tokenError(why string) error {
	return &apiError{status: http.StatusUnauthorized, ds: "TOKEN_INVALID", err: twohop.Error{
		Code: twohop.CodeTokenInvalid, Message: "the token does not hold: " + why,
		Hint: "send Authorization: Bearer with the token that came with the wake or the claim"}}
}
