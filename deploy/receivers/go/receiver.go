// A receiver without dependencies: WEBHOOK_SECRET=whsec_… (or the public key whpk_…) PORT=8000 go run receiver.go
package main

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	tolerance = 300 // seconds
	maxBody   = 8 << 20
)

var (
	version string
	key     []byte
	mutex   sync.Mutex
	seen    = map[[3]string]bool{}     // in production a table with a unique key, kept for three days and more
	work    = make(chan []byte, 1_000) // in production a queue or a table that outlives the process
)

// refusal says why a request is not to be believed; "" if it is. body: the bytes as they came.
func refusal(header http.Header, body []byte, now int64) string {
	id, timestamp, signatures := header.Get("webhook-id"), header.Get("webhook-timestamp"), header.Get("webhook-signature")
	if id == "" || timestamp == "" || signatures == "" {
		return "header missing"
	}
	seconds, err := strconv.ParseUint(timestamp, 10, 48)
	switch {
	case err != nil:
		return "timestamp is not a number"
	case int64(seconds) < now-tolerance:
		return "timestamp too old"
	case int64(seconds) > now+tolerance:
		return "timestamp ahead"
	}
	content := append([]byte(id+"."+timestamp+"."), body...)
	found := false
	for _, one := range strings.Fields(signatures) { // several while a secret is rotated: one that fits is enough
		name, text, _ := strings.Cut(one, ",")
		signature, err := base64.StdEncoding.DecodeString(text)
		if name == version && err == nil && fits(content, signature) {
			found = true
		}
	}
	if !found {
		return "no signature fits"
	}
	return ""
}

func fits(content, signature []byte) bool {
	if version == "v1a" {
		return ed25519.Verify(key, content, signature)
	}
	mac := hmac.New(sha256.New, key)
	mac.Write(content)
	return hmac.Equal(mac.Sum(nil), signature) // in constant time
}

// isNew tells repeats: two webhooks with one URL get the same ids; a replay was asked for, so it counts anew.
func isNew(header http.Header) bool {
	pair := [3]string{header.Get("webhook-id"), header.Get("planner-webhook-id"), header.Get("planner-replay")}
	mutex.Lock()
	defer mutex.Unlock()
	if seen[pair] {
		return false
	}
	if len(seen) >= 100_000 {
		for one := range seen { // any: the table of a real receiver forgets by age
			delete(seen, one)
			break
		}
	}
	seen[pair] = true
	return true
}

func receive(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody)) // bytes: decoding and encoding gives others
	if err != nil {
		http.Error(w, "body too large", http.StatusRequestEntityTooLarge)
		return
	}
	if why := refusal(r.Header, body, time.Now().Unix()); why != "" {
		http.Error(w, why, http.StatusUnauthorized)
		return
	}
	if isNew(r.Header) {
		work <- body
	}
	w.WriteHeader(http.StatusNoContent) // before the work is done: the sender waits 15 s at most
}

func worker() {
	for body := range work {
		var event struct{ ID, Type string }
		if err := json.Unmarshal(body, &event); err != nil {
			log.Print(err)
			continue
		}
		fmt.Println(event.Type, event.ID) // here goes what you do with it
	}
}

func main() {
	prefix, text, _ := strings.Cut(os.Getenv("WEBHOOK_SECRET"), "_")
	version = map[string]string{"whsec": "v1", "whpk": "v1a"}[prefix]
	var err error
	if key, err = base64.StdEncoding.DecodeString(text); err != nil || version == "" {
		log.Fatal("WEBHOOK_SECRET is whsec_ or whpk_, and base64")
	}
	port := os.Getenv("PORT")
	if port == "" {
		port = "8000"
	}
	go worker()
	http.HandleFunc("POST /webhooks", receive)
	server := &http.Server{Addr: "127.0.0.1:" + port, ReadTimeout: 15 * time.Second}
	log.Fatal(server.ListenAndServe())
}
