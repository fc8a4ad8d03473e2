//! Volumes as folders.
//!
//! Made when the pod starts, and not updated afterwards. `emptyDir` lives as long as the pod, a
//! claim's folder as long as the runner's, `hostPath` is the path itself.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{
    ConfigMap, Container, DownwardAPIVolumeFile, KeyToPath, PersistentVolumeClaim, Pod, Secret,
    Volume, VolumeProjection,
};

use super::downward;
use super::environment::Variables;
use super::expansion::expand;
use super::mounts::{Mounts, stays_inside};
use super::references::{ConfigError, References, Referent, file_name};
use crate::platform;
use crate::removal::SECRETS_FOLDER;

/// The mode of a projected file that says nothing else.
const DEFAULT_MODE: i32 = 0o644;

/// The folders of a pod's volumes, by volume name.
pub(super) type Folders = BTreeMap<String, PathBuf>;

/// Makes the folders of all volumes of a pod.
pub(super) struct Volumes<'a> {
    pub(super) pod: &'a Pod,
    pub(super) references: References<'a>,
    pub(super) node_name: &'a str,
    /// The pod's own folder.
    pub(super) pod_folder: &'a Path,
    /// Where the claims of all namespaces have their folders.
    pub(super) claims_folder: &'a Path,
    /// Whether no path of this machine may be a volume.
    pub(super) refuses_host_paths: bool,
}

/// The files of a projected volume: path, content, mode.
type Files = Vec<(String, Vec<u8>, Option<i32>)>;

impl Volumes<'_> {
    /// # Errors
    /// `Missing` if an object is not there yet, `Invalid` if a volume can't be a folder.
    pub(super) fn make(&self) -> Result<Folders, ConfigError> {
        let spec = self.pod.spec.as_ref();
        let volumes = spec
            .and_then(|spec| spec.volumes.as_deref())
            .unwrap_or_default();
        volumes
            .iter()
            .map(|volume| Ok((volume.name.clone(), self.folder(volume)?)))
            .collect()
    }

    fn folder(&self, volume: &Volume) -> Result<PathBuf, ConfigError> {
        let kind = match has_secret(volume) {
            true => SECRETS_FOLDER,
            false => "volumes",
        };
        let own = self.pod_folder.join(kind).join(file_name(&volume.name)?);
        if let Some(source) = &volume.persistent_volume_claim {
            return self.claim(&source.claim_name);
        }
        if let Some(source) = &volume.host_path {
            if self.refuses_host_paths {
                return Err(ConfigError::Invalid(format!(
                    "volume {:?} is the path {:?} of this machine: allow it with --allow-host-path",
                    volume.name, source.path
                )));
            }
            return Ok(source.path.clone().into());
        }
        if volume.empty_dir.is_some() || volume.ephemeral.is_some() {
            create_folder(&own)?;
            return Ok(own);
        }
        let (files, default_mode) = self.files(volume)?;
        create_folder(&own)?;
        for (path, content, mode) in files {
            write_file(
                &own,
                &path,
                &content,
                mode.or(default_mode).unwrap_or(DEFAULT_MODE),
            )?;
        }
        Ok(own)
    }

    fn claim(&self, name: &str) -> Result<PathBuf, ConfigError> {
        self.references
            .get::<PersistentVolumeClaim>(Referent::Claim, name, None)?;
        let namespace = self.pod.metadata.namespace.as_deref().unwrap_or_default();
        let folder = self
            .claims_folder
            .join(file_name(namespace)?)
            .join(file_name(name)?);
        create_folder(&folder)?;
        Ok(folder)
    }

    fn files(&self, volume: &Volume) -> Result<(Files, Option<i32>), ConfigError> {
        if let Some(source) = &volume.config_map {
            let files = self.config_map(&source.name, source.items.as_deref(), source.optional)?;
            return Ok((files, source.default_mode));
        }
        if let Some(source) = &volume.secret {
            let name = source.secret_name.as_deref().unwrap_or_default();
            let files = self.secret(name, source.items.as_deref(), source.optional)?;
            return Ok((files, source.default_mode));
        }
        if let Some(source) = &volume.downward_api {
            let files = self.downward(source.items.as_deref().unwrap_or_default())?;
            return Ok((files, source.default_mode));
        }
        if let Some(source) = &volume.projected {
            let mut files = Files::new();
            for projection in source.sources.iter().flatten() {
                files.extend(self.projection(&volume.name, projection)?);
            }
            return Ok((files, source.default_mode));
        }
        Err(unsupported(&volume.name))
    }

    fn projection(&self, volume: &str, source: &VolumeProjection) -> Result<Files, ConfigError> {
        if let Some(source) = &source.config_map {
            return self.config_map(&source.name, source.items.as_deref(), source.optional);
        }
        if let Some(source) = &source.secret {
            return self.secret(&source.name, source.items.as_deref(), source.optional);
        }
        match &source.downward_api {
            Some(source) => self.downward(source.items.as_deref().unwrap_or_default()),
            None => Err(unsupported(volume)),
        }
    }

    fn config_map(
        &self,
        name: &str,
        items: Option<&[KeyToPath]>,
        optional: Option<bool>,
    ) -> Result<Files, ConfigError> {
        let config_map = self
            .references
            .get::<ConfigMap>(Referent::ConfigMap, name, optional)?;
        let config_map = config_map.unwrap_or_default();
        let text = config_map.data.into_iter().flatten();
        let mut data: BTreeMap<String, Vec<u8>> =
            text.map(|(key, value)| (key, value.into_bytes())).collect();
        data.extend(
            config_map
                .binary_data
                .into_iter()
                .flatten()
                .map(|(key, value)| (key, value.0)),
        );
        select(data, items, optional, &format!("ConfigMap {name}"))
    }

    fn secret(
        &self,
        name: &str,
        items: Option<&[KeyToPath]>,
        optional: Option<bool>,
    ) -> Result<Files, ConfigError> {
        let secret = self
            .references
            .get::<Secret>(Referent::Secret, name, optional)?;
        let data = secret.and_then(|secret| secret.data).into_iter().flatten();
        let data = data.map(|(key, value)| (key, value.0)).collect();
        select(data, items, optional, &format!("Secret {name}"))
    }

    fn downward(&self, items: &[DownwardAPIVolumeFile]) -> Result<Files, ConfigError> {
        let files = items.iter().map(|item| {
            let value = match (&item.field_ref, &item.resource_field_ref) {
                (Some(selector), _) => {
                    downward::field(self.pod, &selector.field_path, self.node_name)?
                }
                (None, Some(selector)) => downward::resource(self.pod, None, selector)?,
                (None, None) => String::new(),
            };
            Ok((item.path.clone(), value.into_bytes(), item.mode))
        });
        files.collect()
    }
}

/// Whether a volume has files of a Secret, which are the first to be removed.
fn has_secret(volume: &Volume) -> bool {
    let projected = volume.projected.as_ref();
    let mut sources = projected
        .iter()
        .flat_map(|projection| projection.sources.iter().flatten());
    volume.secret.is_some() || sources.any(|source| source.secret.is_some())
}

/// The mounts of `container`. `variables` serve `subPathExpr`.
pub(super) fn mounts(
    container: &Container,
    folders: &Folders,
    variables: &Variables,
) -> Result<Mounts, ConfigError> {
    let mut mounts = Mounts::default();
    for mount in container.volume_mounts.iter().flatten() {
        let Some(folder) = folders.get(&mount.name) else {
            let message = format!("volume {:?} is mounted but not declared", mount.name);
            return Err(ConfigError::Invalid(message));
        };
        let expanded = mount
            .sub_path_expr
            .as_deref()
            .map(|text| expand(text, |name| variables.get(name).cloned()));
        let sub_path = mount.sub_path.clone().or(expanded).unwrap_or_default();
        if !stays_inside(&sub_path) {
            let message = format!("subPath {sub_path:?} leads out of volume {:?}", mount.name);
            return Err(ConfigError::Invalid(message));
        }
        let target = match sub_path.is_empty() {
            true => folder.clone(),
            false => below(folder, &sub_path, &mount.name)?,
        };
        if !target.exists() {
            create_folder(&target)?;
        }
        mounts.add(&mount.mount_path, target);
    }
    Ok(mounts)
}

/// The place of a sub-path in a volume, step by step: what a step before has left there may be a link,
/// and must not lead out. Folders that are missing are made.
fn below(volume: &Path, sub_path: &str, name: &str) -> Result<PathBuf, ConfigError> {
    let root = platform::canonicalize(volume);
    let root = root.map_err(|error| failed("resolve", volume, &error))?;
    let mut place = root.clone();
    for part in Path::new(sub_path).components() {
        place.push(part);
        match fs::symlink_metadata(&place) {
            Ok(_) => {
                let resolved = platform::canonicalize(&place);
                place = resolved.map_err(|error| failed("resolve", &place, &error))?;
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                fs::create_dir(&place).map_err(|error| failed("create folder", &place, &error))?;
            }
            Err(error) => return Err(failed("resolve", &place, &error)),
        }
        if !place.starts_with(&root) {
            let message = format!("subPath {sub_path:?} leads out of volume {name:?}");
            return Err(ConfigError::Invalid(message));
        }
    }
    Ok(place)
}

fn select(
    mut data: BTreeMap<String, Vec<u8>>,
    items: Option<&[KeyToPath]>,
    optional: Option<bool>,
    object: &str,
) -> Result<Files, ConfigError> {
    let Some(items) = items else {
        return Ok(data
            .into_iter()
            .map(|(key, content)| (key, content, None))
            .collect());
    };
    let mut files = Files::new();
    for item in items {
        match data.remove(&item.key) {
            Some(content) => files.push((item.path.clone(), content, item.mode)),
            None if optional == Some(true) => {}
            None => {
                let message = format!("couldn't find key {} in {object}", item.key);
                return Err(ConfigError::Missing(message));
            }
        }
    }
    Ok(files)
}

fn unsupported(volume: &str) -> ConfigError {
    ConfigError::Invalid(format!(
        "volume {volume:?} can't be a folder of this machine: use emptyDir, \
         persistentVolumeClaim, configMap, secret, downwardAPI, projected or hostPath"
    ))
}

fn create_folder(path: &Path) -> Result<(), ConfigError> {
    fs::create_dir_all(path).map_err(|error| failed("create folder", path, &error))
}

fn write_file(folder: &Path, path: &str, content: &[u8], mode: i32) -> Result<(), ConfigError> {
    if path.is_empty() || !stays_inside(path) {
        return Err(ConfigError::Invalid(format!(
            "file path {path:?} leads out of its volume"
        )));
    }
    let file = folder.join(path);
    if let Some(parent) = file.parent() {
        create_folder(parent)?;
    }
    // A pod that is started again finds its files read-only.
    let _ = fs::remove_file(&file);
    fs::write(&file, content).map_err(|error| failed("write", &file, &error))?;
    let mode = u32::try_from(mode).unwrap_or_default() & 0o777;
    platform::set_mode(&file, mode).map_err(|error| failed("set the mode of", &file, &error))
}

fn failed(action: &str, path: &Path, error: &std::io::Error) -> ConfigError {
    ConfigError::Invalid(format!("can't {action} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;

    fn find(referent: Referent, name: &str) -> Option<Arc<Value>> {
        let object = match (referent, name) {
            (Referent::ConfigMap, "settings") => {
                json!({"data": {"a": "1", "b": "2"}, "binaryData": {"c": "/w=="}})
            }
            (Referent::Secret, "login") => json!({"data": {"password": "c2VzYW1l"}}),
            (Referent::Claim, "shared") => json!({}),
            _ => return None,
        };
        Some(Arc::new(object))
    }

    fn make(root: &Path, volumes: Value) -> Result<Folders, String> {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "n", "labels": {"app": "x"}},
            "spec": {"containers": [], "volumes": volumes},
        }))
        .unwrap();
        let volumes = Volumes {
            pod: &pod,
            references: References { find: &find },
            node_name: "here",
            pod_folder: &root.join("pod"),
            claims_folder: &root.join("claims"),
            refuses_host_paths: false,
        };
        volumes.make().map_err(|error| error.to_string())
    }

    /// Paths below `root` with content and mode, in order.
    fn tree(root: &Path) -> Vec<String> {
        let mut lines = Vec::new();
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(root).unwrap().display().to_string();
                if path.is_dir() {
                    lines.push(format!("{name}/"));
                    folders.push(path);
                } else {
                    let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
                    let content = fs::read(&path).unwrap();
                    lines.push(format!("{name} {mode:o} {}", content.escape_ascii()));
                }
            }
        }
        lines.sort();
        lines
    }

    #[test]
    fn every_volume_becomes_a_folder() {
        let root = tempfile::tempdir().unwrap();
        let folders = make(
            root.path(),
            json!([
                {"name": "scratch", "emptyDir": {}},
                {"name": "work", "persistentVolumeClaim": {"claimName": "shared"}},
                {"name": "host", "hostPath": {"path": "/srv"}},
                {"name": "settings", "configMap": {"name": "settings"}},
                {"name": "login", "secret": {"secretName": "login", "defaultMode": 0o400,
                    "items": [{"key": "password", "path": "db/pass", "mode": 0o440}]}},
                {"name": "self", "downwardAPI": {"items": [
                    {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
                {"name": "all", "projected": {"defaultMode": 0o600, "sources": [
                    {"secret": {"name": "login"}},
                    {"configMap": {"name": "settings", "items": [{"key": "a", "path": "one"}]}},
                    {"configMap": {"name": "absent", "optional": true}}]}},
            ]),
        )
        .unwrap();
        assert_eq!(folders["host"], Path::new("/srv"));
        assert_eq!(folders["work"], root.path().join("claims/n/shared"));
        let expected = [
            "claims/",
            "claims/n/",
            "claims/n/shared/",
            "pod/",
            "pod/secrets/",
            "pod/secrets/all/",
            "pod/secrets/all/one 600 1",
            "pod/secrets/all/password 600 sesame",
            "pod/secrets/login/",
            "pod/secrets/login/db/",
            "pod/secrets/login/db/pass 440 sesame",
            "pod/volumes/",
            "pod/volumes/scratch/",
            "pod/volumes/self/",
            "pod/volumes/self/labels 644 app=\\\"x\\\"\\n",
            "pod/volumes/settings/",
            "pod/volumes/settings/a 644 1",
            "pod/volumes/settings/b 644 2",
            "pod/volumes/settings/c 644 \\xff",
        ];
        assert_eq!(tree(root.path()), expected);
    }

    #[test]
    fn what_cannot_be_a_folder_is_refused_by_name() {
        let root = tempfile::tempdir().unwrap();
        let cases = [
            (
                json!([{"name": "../x", "emptyDir": {}}]),
                "\"../x\" can't be the name of a file",
            ),
            (
                json!([{"name": "v", "persistentVolumeClaim": {"claimName": "absent"}}]),
                "persistentvolumeclaim \"absent\" not found",
            ),
            (
                json!([{"name": "v", "configMap": {"name": "settings",
                    "items": [{"key": "a", "path": "../a"}]}}]),
                "file path \"../a\" leads out of its volume",
            ),
            (
                json!([{"name": "v", "configMap": {"name": "settings",
                    "items": [{"key": "z", "path": "z"}]}}]),
                "couldn't find key z in ConfigMap settings",
            ),
            (
                json!([{"name": "v", "nfs": {"server": "s", "path": "/"}}]),
                "volume \"v\" can't be a folder of this machine: use emptyDir, \
                 persistentVolumeClaim, configMap, secret, downwardAPI, projected or hostPath",
            ),
        ];
        for (volumes, expected) in cases {
            assert_eq!(make(root.path(), volumes), Err(expected.to_owned()));
        }
    }

    #[test]
    fn paths_of_this_machine_are_volumes_only_where_that_is_allowed() {
        let root = tempfile::tempdir().unwrap();
        let pod: Pod = serde_json::from_value(json!({
            "spec": {"containers": [], "volumes": [{"name": "host", "hostPath": {"path": "/"}}]},
        }))
        .unwrap();
        let made = |refuses_host_paths| {
            let volumes = Volumes {
                pod: &pod,
                references: References { find: &find },
                node_name: "here",
                pod_folder: root.path(),
                claims_folder: root.path(),
                refuses_host_paths,
            };
            volumes.make().map_err(|error| error.to_string())
        };
        assert_eq!(made(false).unwrap()["host"], Path::new("/"));
        assert_eq!(
            made(true),
            Err("volume \"host\" is the path \"/\" of this machine: allow it with --allow-host-path".into())
        );
    }

    #[test]
    fn sub_paths_are_made_and_stay_inside() {
        let root = tempfile::tempdir().unwrap();
        let folders = Folders::from([("v".to_owned(), root.path().to_owned())]);
        let real = root.path().canonicalize().unwrap();
        let mounted = |mount: Value| {
            let container = json!({"name": "main", "volumeMounts": [mount]});
            let variables = Variables::from([("POD".to_owned(), "p-1".to_owned())]);
            mounts(
                &serde_json::from_value(container).unwrap(),
                &folders,
                &variables,
            )
            .map(|mounts| mounts.resolve("/data").unwrap())
            .map_err(|error| error.to_string())
        };
        let below = |path: &str| Ok(real.join(path));
        assert_eq!(
            mounted(json!({"name": "v", "mountPath": "/data"})),
            Ok(root.path().into())
        );
        assert_eq!(
            mounted(json!({"name": "v", "mountPath": "/data", "subPath": "a/b"})),
            below("a/b")
        );
        assert_eq!(
            mounted(json!({"name": "v", "mountPath": "/data", "subPathExpr": "$(POD)"})),
            below("p-1")
        );
        assert!(root.path().join("a/b").is_dir());
        // What a step may have left there.
        let link = |to: &str, name: &str| {
            std::os::unix::fs::symlink(to, root.path().join(name)).unwrap();
        };
        for (to, name) in [
            ("/", "out"),
            ("../..", "up"),
            ("gone", "dangling"),
            ("loop", "loop"),
        ] {
            link(to, name);
            for sub_path in [name.to_owned(), format!("{name}/x"), format!("a/../{name}")] {
                let mount = json!({"name": "v", "mountPath": "/data", "subPath": sub_path});
                assert!(mounted(mount).is_err(), "{sub_path}");
            }
        }
        link("a", "within");
        assert_eq!(
            mounted(json!({"name": "v", "mountPath": "/data", "subPath": "within/b"})),
            below("a/b")
        );
        assert_eq!(
            mounted(json!({"name": "v", "mountPath": "/data", "subPath": "out/etc"})),
            Err("subPath \"out/etc\" leads out of volume \"v\"".into())
        );
        assert_eq!(
            mounted(json!({"name": "v", "mountPath": "/data", "subPath": "../b"})),
            Err("subPath \"../b\" leads out of volume \"v\"".into())
        );
        assert_eq!(
            mounted(json!({"name": "w", "mountPath": "/data"})),
            Err("volume \"w\" is mounted but not declared".into())
        );
    }
}
