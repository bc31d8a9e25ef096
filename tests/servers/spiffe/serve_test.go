// Serves go-spiffe's fake Workload API until it is ended: SVIDs of FAKE_LIFE, another one after each half of it, and none
// while the file FAKE_WITHHELD is there. Each start makes a new root. FAKE_FEDERATED is another trust domain.

package fakeworkloadapi_test

import (
	"os"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/internal/test"
	"github.com/spiffe/go-spiffe/v2/internal/test/fakeworkloadapi"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
)

func TestServe(t *testing.T) {
	life, err := time.ParseDuration(os.Getenv("FAKE_LIFE"))
	if err != nil {
		t.Fatal(err)
	}
	id := spiffeid.RequireFromString(os.Getenv("FAKE_ID"))
	other := spiffeid.RequireFromPath(id.TrustDomain(), "/another")
	ca := test.NewCA(t, id.TrustDomain())
	foreign := test.NewCA(t, spiffeid.RequireTrustDomainFromString(os.Getenv("FAKE_FEDERATED")))
	api := fakeworkloadapi.New(t)
	for {
		var answer *fakeworkloadapi.X509SVIDResponse
		if _, err := os.Stat(os.Getenv("FAKE_WITHHELD")); err != nil {
			now := time.Now()
			lives := test.WithLifetime(now, now.Add(life))
			answer = &fakeworkloadapi.X509SVIDResponse{
				SVIDs:            []*x509svid.SVID{ca.CreateX509SVID(other, lives), ca.CreateX509SVID(id, lives)},
				Bundle:           ca.X509Bundle(),
				FederatedBundles: []*x509bundle.Bundle{foreign.X509Bundle()},
			}
		}
		api.SetX509SVIDResponse(answer)
		time.Sleep(life / 2)
	}
}
