//! `pki/`: a root, an intermediate below it, roles, certificates, revocation.

use vaultrs::api::pki::requests::{
    GenerateCertificateRequest, GenerateIntermediateRequest, GenerateRootRequest, SetCRLConfigRequest, SetRoleRequest,
    SetURLsRequest, SignIntermediateRequest, UpdateIssuerRequest,
};
use vaultrs::client::VaultClient;
use vaultrs::{pki, sys};

use crate::world::{NONE, WRONG, World, refused};

crate::stories!(
    a_role_says_what_is_issued_and_a_certificate_is_taken_back,
    an_intermediate_is_signed_by_a_root_and_issues_below_it,
    settings_of_the_authority_are_kept,
    an_issuer_is_named_and_removed,
);

async fn authority(world: &World, path: &str) -> (VaultClient, String) {
    let root = world.root();
    sys::mount::enable(&root, path, "pki", None).await.unwrap();
    let mut wanted = GenerateRootRequest::builder();
    wanted.common_name("CA").key_type("ec").ttl("87600h");
    let made = pki::cert::ca::generate(&root, path, "internal", Some(&mut wanted)).await.unwrap().unwrap();
    assert!(made.expiration > 0 && made.certificate == made.issuing_ca && made.key_id.is_some());
    (root, made.issuer_id)
}

async fn role(root: &VaultClient, path: &str) {
    let mut wanted = SetRoleRequest::builder();
    wanted.allowed_domains(vec!["test".to_owned()]).allow_subdomains(true).key_type("ec").ttl("1h");
    pki::role::set(root, path, "web", Some(&mut wanted)).await.unwrap();
}

async fn a_role_says_what_is_issued_and_a_certificate_is_taken_back(world: World) {
    let (root, _) = authority(&world, "pki").await;
    role(&root, "pki").await;
    let read = pki::role::read(&root, "pki", "web").await.unwrap();
    assert_eq!((read.allowed_domains, read.ttl), (vec!["test".to_owned()], 3600));
    assert_eq!(pki::role::list(&root, "pki").await.unwrap().keys, ["web"]);
    let issue = async |name: &str| {
        pki::cert::generate(&root, "pki", "web", Some(GenerateCertificateRequest::builder().common_name(name))).await
    };
    refused(issue("a.other").await, WRONG);
    refused(issue("*.a.test, b.other").await, WRONG);
    let made = issue("a.test").await.unwrap();
    assert!(made.private_key.contains("PRIVATE KEY") && made.private_key_type == "ec");
    assert!(pki::cert::list(&root, "pki").await.unwrap().iter().any(|s| s.replace('-', ":") == made.serial_number));
    let before = pki::cert::read(&root, "pki", &made.serial_number).await.unwrap();
    assert_eq!((before.revocation_time, before.certificate.trim()), (0, made.certificate.trim()));
    let revoked = pki::cert::revoke(&root, "pki", &made.serial_number).await.unwrap();
    assert!(revoked.revocation_time > 0);
    assert!(pki::cert::read(&root, "pki", &made.serial_number).await.unwrap().revocation_time > 0);
    refused(pki::cert::revoke(&root, "pki", "00:11").await, WRONG);
    assert!(pki::cert::crl::rotate(&root, "pki").await.unwrap().success);
    pki::role::delete(&root, "pki", "web").await.unwrap();
    refused(pki::role::read(&root, "pki", "web").await, NONE);
}

async fn an_intermediate_is_signed_by_a_root_and_issues_below_it(world: World) {
    let (root, _) = authority(&world, "above").await;
    sys::mount::enable(&root, "below", "pki", None).await.unwrap();
    let mut wanted = GenerateIntermediateRequest::builder();
    let asked = pki::cert::ca::int::generate(&root, "below", "internal", "Intermediate", Some(wanted.key_type("ec")))
        .await
        .unwrap();
    assert!(asked.private_key.is_none());
    let mut how = SignIntermediateRequest::builder();
    let signed = pki::cert::ca::sign_intermediate(&root, "above", &asked.csr, "Intermediate", Some(how.ttl("43800h")))
        .await
        .unwrap();
    let set = pki::cert::ca::int::set_signed(&root, "below", &signed.certificate).await.unwrap();
    assert_eq!(set.imported_issuers.unwrap().len(), 1);
    role(&root, "below").await;
    let made =
        pki::cert::generate(&root, "below", "web", Some(GenerateCertificateRequest::builder().common_name("a.test")))
            .await
            .unwrap();
    assert_eq!(made.issuing_ca.trim(), signed.certificate.trim());
    refused(pki::cert::ca::sign_intermediate(&root, "above", "no CSR", "x", None).await, WRONG);
}

async fn settings_of_the_authority_are_kept(world: World) {
    let (root, _) = authority(&world, "told").await;
    let mut urls = SetURLsRequest::builder();
    pki::cert::urls::set(&root, "told", Some(urls.ocsp_servers(vec!["http://ocsp.test".to_owned()]))).await.unwrap();
    assert_eq!(pki::cert::urls::read(&root, "told").await.unwrap().ocsp_servers, ["http://ocsp.test"]);
    pki::cert::crl::set_config(&root, "told", Some(SetCRLConfigRequest::builder().expiry("36h"))).await.unwrap();
    assert_eq!(pki::cert::crl::read_config(&root, "told").await.unwrap().expiry, "36h");
}

async fn an_issuer_is_named_and_removed(world: World) {
    let (root, id) = authority(&world, "named").await;
    let listed = pki::issuer::list(&root, "named").await.unwrap();
    assert!(listed.key_info[&id].is_default);
    let mut wanted = UpdateIssuerRequest::builder();
    let told = pki::issuer::update(&root, "named", &id, Some(wanted.issuer_name("first"))).await.unwrap();
    assert_eq!((told.issuer_name.as_str(), told.issuer_id.as_str()), ("first", id.as_str()));
    assert_eq!(pki::issuer::read(&root, "named", Some("first")).await.unwrap().issuer_id, id);
    assert_eq!(pki::issuer::set_default(&root, "named", "first").await.unwrap().default, id);
    refused(pki::issuer::set_default(&root, "named", "none").await, WRONG);
    pki::issuer::delete(&root, "named", "first").await.unwrap();
    assert!(pki::issuer::read(&root, "named", None).await.is_err());
}
