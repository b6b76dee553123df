//! Where calls of decisions may go: to the host that the configuration names, and to nothing that hides
//! behind its name.
//!
//! The problem: whoever can make the gateway call an address of his choice has its tokens, and through it the
//! metadata service of the machine (server-side request forgery). The rule, and why it suffices:
//!
//! * Hosts come from the configuration and from nowhere else. Whoever writes that may name any host, loopback
//!   and private ones and plain http included: flag services live there. Telemetry, policies and answers
//!   never make a host: paths and bodies are templates, hosts are not ([`Bound`] refuses every other one),
//!   and redirects are not followed.
//! * A *name* may come to mean something else after it was written (a poisoned or rebound DNS record). What
//!   no flag service ever has, a link-local address or the metadata service of a cloud, is refused when a
//!   name resolves to it, in every spelling of IPv6; written as an address it is what the operator means.
//! * The addresses that were looked at are the ones that are called: the check is the resolver itself, so
//!   there is no second lookup between check and call.
//!
//! Rejected: refusing private addresses (that is where most flag services are), and a list of allowed
//! networks (one more thing to keep in step with the URLs, which say the same).

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Metadata services outside of the link-local networks: AWS over IPv6, Alibaba Cloud, Azure.
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
const METADATA_V4: [Ipv4Addr; 2] = [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16)];

/// The places that an exporter's calls may go to: nowhere until it is told.
#[derive(Clone, Debug, Default)]
pub(super) struct Bound(Vec<Url>);

impl Bound {
    /// Scheme, host and port of URLs that the configuration names.
    pub(super) fn to<'a>(urls: impl IntoIterator<Item = &'a Url>) -> Self {
        Self(urls.into_iter().cloned().collect())
    }

    /// Whether `url` is at one of those places.
    pub(super) fn admits(&self, url: &Url) -> bool {
        self.0.iter().any(|bound| bound.origin() == url.origin())
    }
}

/// Resolves names, and leaves out what no name may mean.
#[derive(Clone, Copy, Debug)]
pub(super) struct Screened;

impl Resolve for Screened {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let kept: Addrs = Box::new(screen(name.as_str(), found)?.into_iter());
            Ok(kept)
        })
    }
}

/// The addresses that may be called; an error when there were others only.
fn screen(name: &str, found: impl Iterator<Item = SocketAddr>) -> io::Result<Vec<SocketAddr>> {
    let (refused, kept): (Vec<_>, Vec<_>) = found.partition(|it| is_never_meant(it.ip()));
    match refused.first() {
        Some(address) if kept.is_empty() => {
            let address = address.ip();
            Err(io::Error::other(format!(
                "{name} resolves to {address}, an address of the machine's own network or its metadata service; \
                 if that is meant, write the address in place of the name"
            )))
        }
        _ => Ok(kept),
    }
}

/// Link-local, a metadata service, or no host at all.
fn is_never_meant(address: IpAddr) -> bool {
    let v4 = match address {
        IpAddr::V4(v4) => v4,
        IpAddr::V6(v6) => match inner_v4(v6) {
            Some(v4) => v4,
            None => {
                return v6.is_unicast_link_local()
                    || v6.is_multicast()
                    || v6.is_unspecified()
                    || v6 == METADATA_V6;
            }
        },
    };
    v4.is_link_local()
        || v4.is_broadcast()
        || v4.is_multicast()
        || v4.octets()[0] == 0
        || METADATA_V4.contains(&v4)
}

/// The IPv4 address that an IPv6 address leads to: mapped, compatible, NAT64, 6to4.
fn inner_v4(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let segments = v6.segments();
    let of = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match segments {
        // ::1 and :: are not addresses of IPv4.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(of(high, low)),
        [0x2002, high, low, ..] => Some(of(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(addresses: &[&str]) -> Vec<SocketAddr> {
        let address = |it: &&str| SocketAddr::new(it.parse().unwrap(), 443);
        addresses.iter().map(address).collect()
    }

    #[test]
    fn no_name_means_the_metadata_service_in_any_spelling() {
        for address in [
            "169.254.169.254",
            "169.254.170.2",
            "::ffff:169.254.169.254",
            "::ffff:a9fe:a9fe",
            "::169.254.169.254",
            "64:ff9b::169.254.169.254",
            "2002:a9fe:a9fe::1",
            "fd00:ec2::254",
            "fe80::1",
            "100.100.100.200",
            "168.63.129.16",
            "0.0.0.0",
            "::",
            "255.255.255.255",
            "224.0.0.1",
            "ff02::1",
        ] {
            let error = screen("flags.example", found(&[address]).into_iter())
                .unwrap_err()
                .to_string();
            assert!(error.contains("flags.example"), "{address}: {error}");
        }
    }

    #[test]
    fn a_name_may_mean_any_other_host_private_ones_included() {
        let fine = [
            "127.0.0.1",
            "::1",
            "10.0.0.7",
            "192.168.1.1",
            "172.17.0.1",
            "fd12:3456::1",
            "203.0.113.9",
            "2001:db8::1",
        ];
        assert_eq!(screen("x", found(&fine).into_iter()).unwrap(), found(&fine));
        let mixed = found(&["169.254.169.254", "10.0.0.7"]);
        assert_eq!(screen("x", mixed.into_iter()).unwrap(), found(&["10.0.0.7"]));
    }

    #[test]
    fn calls_stay_at_the_place_that_is_configured() {
        let url = |text: &str| Url::parse(text).unwrap();
        let bound = Bound::to([&url("https://flags.example/api/")]);
        assert!(bound.admits(&url("https://flags.example:443/api/x?y")));
        for other in [
            "http://flags.example/api/x",
            "https://flags.example:8443/api/x",
            "https://flags.example.evil/api/x",
            "https://evil/flags.example",
            "https://169.254.169.254/",
        ] {
            assert!(!bound.admits(&url(other)), "{other}");
            assert!(!Bound::default().admits(&url(other)), "nowhere until it is told");
        }
    }

    #[tokio::test]
    async fn names_resolve_as_ever() {
        let name: Name = "localhost".parse().unwrap();
        let found: Vec<_> = Screened.resolve(name).await.unwrap().collect();
        assert!(found.iter().any(|it| it.ip().is_loopback()), "{found:?}");
    }
}
