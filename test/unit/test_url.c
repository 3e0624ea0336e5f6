/*
 * test_url.c
 *	  Unit tests of url.c: where a token may go.
 *
 * A base URL that passes for Domo's, or for this machine's, and is another's
 * hands the token to that one.  So each way to write a host that a parser may
 * read in two ways stands here.
 */
#include "../../src/http/url.c"

#include "tap.h"

#define LENGTH(array) ((int) (sizeof(array) / sizeof((array)[0])))

typedef struct UrlCase
{
	const char *text;
	const char *fault;			/* a part of what is said; NULL: it passes */
} UrlCase;

static const UrlCase base_cases[] = {
	{"https://gateway.example.com", NULL},
	{"https://gateway.example.com:8443/domo/", NULL},
	{"HTTPS://gateway.example.com", NULL},
	{"http://localhost", NULL},
	{"http://LOCALHOST:8080/x", NULL},
	{"http://127.0.0.1:1", NULL},
	{"http://127.255.255.254", NULL},
	{"http://[::1]:8080", NULL},
	/* other ways to write 127.0.0.1, which libcurl makes the usual one */
	{"http://127.1", NULL},
	{"http://0x7f000001", NULL},
	{"http://2130706433", NULL},
	{"http://128.0.0.1", "must start with https://"},
	{"http://126.255.255.255", "must start with https://"},
	{"http://0x80000001", "must start with https://"},
	{"http://0.0.0.0", "must start with https://"},
	{"http://[::]", "must start with https://"},
	{"http://[::2]", "must start with https://"},
	{"http://[::ffff:127.0.0.1]", "must start with https://"},
	{"http://localhost.example.com", "must start with https://"},
	{"http://localhost.", "must start with https://"},
	{"http://127.0.0.1.example.com", "must start with https://"},
	{"http://acme.domo.com", "must start with https://"},
	{"ftp://localhost", "must start with https:// or http://"},
	{"file:///etc/passwd", "must"},
	{"https://user@gateway.example.com", "user information"},
	{"https://user:word@gateway.example.com", "user information"},
	{"https://localhost@evil.example.com", "user information"},
	{"https://gateway.example.com/@x", "user information"},
	{"http://localhost\\@evil.example.com", "must"},
	{"http://evil.example.com\\.localhost", "query or a fragment"},
	{"https://gateway.example.com?x", "query or a fragment"},
	{"https://gateway.example.com#x", "query or a fragment"},
	{"http://localhost#.example.com", "query or a fragment"},
	{"https://gateway.example.com/a b", "white space"},
	{"https://gateway.example.com/\r\nX: y", "white space"},
	{" https://gateway.example.com", "white space"},
	{"https://gateway.example.com\x7f", "white space"},
	{"https://gateway.example.com\t", "white space"},
	{"gateway.example.com", "must"},
	{"localhost", "must"},
	{"https://", "must"},
	/* libcurl, which connects, takes three for two: the host is path */
	{"https:///path", NULL},
	{"http:///path", "must start with https://"},
	{"//localhost", "must"},
	{"", "must"},
	{"https://[::1", "must"},
	{"https://a:99999", "must"},
	{"https://a:x", "must"},
};

static const UrlCase proxy_cases[] = {
	{"http://proxy.example.com:3128", NULL},
	{"https://proxy.example.com", NULL},
	{"http://proxy.example.com/", NULL},
	{"http://proxy.example.com/path", "must not have a path"},
	/* which libcurl may know as a scheme */
	{"socks5://proxy.example.com", "https:// or http://"},
	{"http://user@proxy.example.com", "user information"},
	{"proxy.example.com:3128", "must"},
	{"", "must"},
};

typedef struct InstanceCase
{
	const char *text;
	const char *url;			/* NULL: it is no instance */
} InstanceCase;

static const InstanceCase instance_cases[] = {
	{"acme", "https://acme.domo.com"},
	{"ACME.Domo.COM", "https://acme.domo.com"},
	{"a", "https://a.domo.com"},
	{"a-1-b", "https://a-1-b.domo.com"},
	{"9", "https://9.domo.com"},
	{"", NULL},
	{".domo.com", NULL},
	{"-acme", NULL},
	{"acme-", NULL},
	{"ac--me", NULL},
	{"acme.domo.com.", NULL},
	{"acme.evil.com", NULL},
	{"evil.com/acme.domo.com", NULL},
	{"acme.domo.com.domo.com", NULL},
	{"acmedomo.com", NULL},
	{"acme:80", NULL},
	{"ac me", NULL},
	{"acme\n", NULL},
	{"acm\xc3\xa9", NULL},
	{"user@acme", NULL},
	{"acme_1", NULL},
	{"https://acme.domo.com", NULL},
};

static void
check_cases(const UrlCase *cases, int count, bool is_base)
{
	for (int i = 0; i < count; i++)
	{
		const char *fault = is_base ? dwf_url_check_base(cases[i].text) :
		dwf_url_check_proxy(cases[i].text);

		if (cases[i].fault == NULL)
			ok(fault == NULL, "%s \"%s\" passes", is_base ? "base" : "proxy",
			   cases[i].text);
		else
			ok(fault != NULL && strstr(fault, cases[i].fault) != NULL,
			   "%s %d is refused: %s", is_base ? "base" : "proxy", i,
			   fault == NULL ? "no" : fault);
	}
}

static void
test_instances(void)
{
	char		text[DWF_MAX_INSTANCE + 20];
	char		url[DWF_INSTANCE_URL_SIZE];

	for (int i = 0; i < LENGTH(instance_cases); i++)
	{
		const InstanceCase *c = &instance_cases[i];

		is_int(dwf_url_is_instance(c->text), c->url != NULL,
			   "instance %d is%s one", i, c->url == NULL ? " not" : "");
		if (c->url == NULL)
			continue;
		dwf_url_of_instance(c->text, url);
		is_str(url, c->url, "its URL");
		ok(dwf_url_check_base(url) == NULL, "which is a base URL");
	}
	memset(text, 'a', sizeof(text));
	strcpy(text + DWF_MAX_INSTANCE, ".domo.com");
	ok(dwf_url_is_instance(text), "the longest name");
	dwf_url_of_instance(text, url);
	is_int(strlen(url), strlen("https://.domo.com") + DWF_MAX_INSTANCE,
		   "its URL is whole");
	strcpy(text + DWF_MAX_INSTANCE, "a.domo.com");
	ok(!dwf_url_is_instance(text), "one that is longer");
}

int
main(void)
{
	check_cases(base_cases, LENGTH(base_cases), true);
	check_cases(proxy_cases, LENGTH(proxy_cases), false);
	test_instances();
	return done_testing();
}
